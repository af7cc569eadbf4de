"""Asks a demonstration for everything in its /openapi.json that a client could get wrong.

    run.py KOMANDORR [--short] [--seed N]

KOMANDORR is the program. Two rounds against one demonstration with a data directory of its own:
log-in off, then log-in on. The second one asks as a user would, and also without credentials and
with wrong ones. What is asked and what is checked stands in schemathesis.toml; hooks.py puts back
what a request has changed.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

USER, PASSWORD = "fuzz", "correct horse"

# Seconds for the generated part of the first round, and cases per operation and pass; the budget
# of `make fuzz` is five minutes, that of a run in CI one.
LONG = ["--max-time", "200"]
SHORT = ["--max-examples", "8"]
SHORT_SEED = 330


@contextlib.contextmanager
def demonstration(program):
    """Starts one on a free port and yields its address."""
    with tempfile.TemporaryDirectory(prefix="komandorr-fuzz-") as directory:
        log = Path(directory, "log")
        command = [program, "demo", "--port", "0", "--data-dir", f"{directory}/data"]
        env = {**os.environ, "HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
        with log.open("w") as errors, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=env, text=True
        ) as server:
            try:
                line = server.stdout.readline()
                if not line.startswith("listening on "):
                    sys.exit(f"the demonstration did not start: {log.read_text()}")
                yield line.removeprefix("listening on ").strip()
                if server.poll() is not None:
                    sys.exit(f"the server is gone: {log.read_text()[-2000:]}")
            finally:
                server.terminate()
                if server.wait(timeout=15) != 0:
                    sys.exit(f"the server ended with {server.returncode}: {log.read_text()[-2000:]}")


def post(url, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=10).close()


def ask(url, seed, *options):
    """One round; gives back whether everything was as described."""
    command = [
        SCHEMATHESIS,
        *("--config-file", HERE / "schemathesis.toml"),
        *("run", f"{url}/openapi.json", "--seed", str(seed), *options),
    ]
    env = {**os.environ, "FUZZ_HOOKS": str(HERE / "hooks.py"), "FUZZ_URL": url, "FUZZ_USER": USER, "FUZZ_PASSWORD": PASSWORD}
    with tempfile.TemporaryDirectory() as elsewhere:
        return subprocess.run(command, env=env, cwd=elsewhere, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int)
    wanted = parser.parse_args()
    seed = wanted.seed
    if seed is None:
        seed = SHORT_SEED if wanted.short else random.randrange(2**32)
    print(f"seed {seed}", flush=True)
    with demonstration(wanted.program) as url:
        open_door = ask(
            url,
            seed,
            *(SHORT if wanted.short else LONG),
            *("--exclude-checks", "ignored_auth,missing_required_header"),
            *("--generation-with-security-parameters", "false"),
            *("--exclude-path", "/api/auth/toggle", "--exclude-path", "/api/auth/update"),
        )
        post(
            f"{url}/api/auth/update",
            {"username": USER, "current_password": "", "new_password": PASSWORD},
        )
        post(f"{url}/api/auth/toggle", {"enabled": True})
        locked_door = ask(
            url, seed, "--phases", "examples,coverage", "--auth", f"{USER}:{PASSWORD}"
        )
    sys.exit(0 if open_door and locked_door else 1)


if __name__ == "__main__":
    main()
