# syntax=docker/dockerfile:1

# The published image whose built frontend is taken over. Any image with /app/frontend/dist will do:
#   docker build --build-arg FRONTEND_IMAGE=... -t komandorr:4.0.0-alpha.1 .
ARG FRONTEND_IMAGE=ghcr.io/cyb3rgh05t/komandorr:3.3.0

FROM rust:1.95-slim-bookworm AS builder
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM ${FRONTEND_IMAGE} AS frontend

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/*

# The layout of 3.3.0, so that volumes and bind mounts stay as they are.
WORKDIR /app
RUN mkdir -p data logs
COPY --from=frontend /app/frontend/dist ./frontend/dist
COPY --from=builder /src/target/release/komandorr /usr/local/bin/komandorr

# Compose files for 3.3.0 start `python -m uvicorn app.main:app ...`; the program understands
# exactly that under these names.
RUN ln -s komandorr /usr/local/bin/python \
    && ln -s komandorr /usr/local/bin/python3 \
    && ln -s komandorr /usr/local/bin/uvicorn

# Without PUID the server runs as root, as 3.3.0 did.
COPY --chmod=0755 <<'EOF' /usr/local/bin/entrypoint
#!/bin/sh
set -eu
if [ -n "${PUID:-}" ] && [ "$(id -u)" = 0 ]; then
    group="${PGID:-$PUID}"
    chown -R "$PUID:$group" /app/data /app/logs \
        || echo "entrypoint: could not hand data and logs over to $PUID:$group" >&2
    exec setpriv --reuid="$PUID" --regid="$group" --clear-groups -- "$@"
fi
exec "$@"
EOF

# The published image listens here whatever PORT says; APP_PORT moves it.
ENV APP_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 \
    CMD ["komandorr", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["komandorr", "serve"]
