# `make` alone lists the commands. Each says what is missing, or installs it where it may
# (as root on Debian or Ubuntu).

.DEFAULT_GOAL := help
TARGET := $(or $(CARGO_TARGET_DIR),target)
FUZZER := $(TARGET)/fuzzer
.PHONY: help run test browser fuzz soak bench check rust redis fuzzer

# $(call need,program,Debian packages)
need = command -v $(1) >/dev/null 2>&1 || $(call install,$(1),$(2))

# $(call install,what,Debian packages)
install = { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "$(1) is missing: installing $(2)" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; \
	else \
		echo "$(1) is missing: install $(2)" >&2; exit 1; \
	fi; }

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: rust ## Start the demonstration: the server and a simulated Plex server
	cargo run --release --locked -- demo

# They wait more than they work.
test: rust redis ## Run all tests
	cargo test --locked -- --test-threads $$((3 * $$(nproc)))

browser: ## Get what the tests of pages in a browser need (Chromium, Node.js 20, npm)
	@$(call need,chromium,chromium)
	@$(call need,npm,nodejs npm)
	npm ci --no-audit --no-fund --prefix tests/browser

fuzz: rust fuzzer ## Ask for all that /openapi.json describes, wrongly too, for 4 minutes (FUZZ=--short: 1 minute)
	cargo test --locked --test blackbox --no-run
	$(FUZZER)/bin/python tests/fuzz/run.py $(TARGET)/debug/komandorr $(FUZZ)

soak: rust redis ## Run the long versions of tests (minutes)
	KOMANDORR_SOAK=1 cargo test --locked --test blackbox -- --test-threads 1 --nocapture history_sync:: redis::calls:: monitoring::

bench: rust redis ## Measure cached answers, a long history, open tabs, services and Redis (needs wrk, redis-server, oha)
	@$(call need,wrk,wrk)
	@command -v oha >/dev/null 2>&1 || { echo "oha is missing: cargo installs it" && cargo install --locked oha; }
	cargo bench --locked

check: rust ## Formatting, lints and documentation; warnings are errors
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked

# Rust links through a C compiler, and the TLS library is partly written in C.
rust:
	@command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust (https://rustup.rs)" >&2; exit 1; }
	@$(call need,cc,gcc libc6-dev)

# Tests start servers of their own; Redis 7 or later.
redis:
	@$(call need,redis-server,redis-server)

# A virtual environment of Python's, with schemathesis.
fuzzer: $(FUZZER)/installed

$(FUZZER)/installed: tests/fuzz/requirements.txt
	@python3 -c 'import ensurepip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null || \
		$(call install,Python 3.11 or later,python3-venv)
	python3 -m venv --clear $(FUZZER)
	$(FUZZER)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@
