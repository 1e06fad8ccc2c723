#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bring a Debian machine to the point where .venv/bin/schedcp runs: packages, then the virtual environment.
# What needs Python (kernel, vmlinux.h, guest image) is `schedcp setup`, which the Makefile runs next.
# Safe to repeat: each step leaves a stamp named after what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/schedcp
. control_plane/say.sh

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

a_python() {
  local name
  for name in python3.11 python3 python3.12 python3.13 /usr/bin/python3; do
    if supported "$name"; then command -v "$name"; return; fi
  done
  die "needs Python 3.11 to 3.13, this machine's python3 is $(python3 --version 2>&1)"
}

virtual_environment() {
  local python stamp=.venv/.schedcp-lock want
  want=$(cat requirements-bootstrap.lock requirements.lock pyproject.toml | sha256sum | cut -c1-64)
  # A stamp outlives the Python below it, as after an upgrade of Debian.
  [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || ! supported .venv/bin/python || return 0
  python=$(a_python)
  say "virtual environment (.venv) from requirements.lock"
  supported .venv/bin/python || "$python" -m venv --clear .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-bootstrap.lock
  # uv does not read pip's configuration: hand it the index and the certificates that the machine is set to use.
  local index
  index=$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)
  [ -z "$index" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
  # A system store always exists on Debian once ca-certificates is in.
  export SSL_CERT_FILE=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} UV_HTTP_TIMEOUT=180
  VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install -q --require-hashes --no-deps -r requirements.lock
  VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install -q --no-deps --no-build-isolation -e .
  echo "$want" > "$stamp"
}

mkdir -p "$cache"
# Two set-ups at once (a test run beside a tune) must not both write .venv.
exec 9> "$cache/setup.lock"
flock -n 9 || { say "another set-up is running: waiting for it"; flock 9; }
# mmdebstrap builds the disk of a fleet's hosts.
bash control_plane/packages.sh make git python3 python3-venv mmdebstrap e2fsprogs
virtual_environment
