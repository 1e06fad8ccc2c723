#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bring a Debian machine to the point where .venv/bin/schedcp runs: packages, then the virtual environment.
# What needs Python (kernel, vmlinux.h, guest image) is `schedcp setup`, which the Makefile runs next.
# Safe to repeat: each step leaves a stamp named after what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/schedcp
apt_dir=$cache/apt-tools
at() { printf '[setup %d:%02d]' $((SECONDS / 60)) $((SECONDS % 60)); }
# A line; while what it says goes on, another every ten seconds on a terminal, elsewhere every minute, for a log's sake.
say() {
  printf '\033[1m%s\033[0m %s\n' "$(at)" "$*" >&2
  local every=60; [ ! -t 2 ] || every=10
  quiet
  # `read` waits for nothing that ever comes: a `sleep` would outlive the loop, and keep our output open.
  while ! read -rt "$every" <> <(:); do printf '%s still: %.80s\n' "$(at)" "$*" >&2; done & ticking=$!
}
quiet() { [ -z "${ticking:-}" ] || { kill "$ticking" && wait "$ticking"; ticking=; } 2>/dev/null || true; }
trap quiet EXIT
die() { printf 'setup: %s\n' "$*" >&2; exit 4; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "needs root for 'apt-get install': run it as root, or install sudo"; fi
}

[ "$(uname -m)" = x86_64 ] || die "needs an x86-64 machine, this is $(uname -m)"
# shellcheck disable=SC1091
. /etc/os-release
command -v apt-get >/dev/null || die "needs a Debian machine (no apt-get here; os-release says '${PRETTY_NAME:-unknown}')"

# name, and the version below which it is of no use: TCG plugins (QEMU 9.1), struct_ops.link on a 7.x kernel
# (libbpf 1.4), BTF with kfunc prototypes (bpftool 7.5). The rest is fine as the release has it.
floors="qemu-system-x86:9.1 libbpf-dev:1.4 libbpf1:1.4 bpftool:7.5"
plain="clang-19 libclang1-19 llvm-19 gcc libc6-dev bc bison flex libelf-dev zlib1g-dev zstd util-linux make git python3 python3-venv ca-certificates"
# Of backports by name alone: with -t apt would take libelf from there, too, whose static library is not whole (0.192).
late=linux-perf

have() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
at_least() { have "$1" && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$1" | sed 's/^[0-9]*://')" ge "$2"; }
missing_floors() { for entry in $floors; do at_least "${entry%:*}" "${entry#*:}" || echo "${entry%:*}"; done; }
missing_plain() { for name in $plain; do have "$name" || echo "$name"; done; }
missing_late() { have "$late" || echo "$late"; }

packages() {
  local floored wanted lately uri lists
  floored=$(missing_floors) wanted=$(missing_plain) lately=$(missing_late)
  [ -n "$floored$wanted$lately" ] || return 0
  say "Debian packages:" $floored $wanted $lately
  # A private list and private state: this machine's own sources stay as they are, and so does its mirror,
  # which its configuration names and this repository does not.
  # Debian's own archive is the one that also has the -updates suite; --no-release-info: there may be no lists yet.
  # shellcheck disable=SC2016
  uri=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v c="$VERSION_CODENAME" '$1 == c "-updates" { best = $2 } $1 == c && !other { other = $2 } END { print best ? best : other }')
  [ -n "$uri" ] || die "no Debian mirror in this machine's apt sources: add one for $VERSION_CODENAME"
  mkdir -p "$apt_dir/lists/partial" "$apt_dir/archives/partial"
  lists=$apt_dir/sources.list
  { cat /etc/apt/sources.list 2>/dev/null || true
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $VERSION_CODENAME-backports main"; } > "$lists"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o "Dir::Etc::sourcelist=$lists" -o "Dir::State::Lists=$apt_dir/lists"
             -o "Dir::Cache::archives=$apt_dir/archives" -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0)
  as_root "${apt[@]}" update >&2 || die "apt-get update failed: see the lines above"
  # Only what has a floor comes from backports: -t would take every new dependency from there.
  # shellcheck disable=SC2086
  { as_root "${apt[@]}" install -y --no-install-recommends $wanted &&
    as_root "${apt[@]}" install -y --no-install-recommends -t "$VERSION_CODENAME-backports" $floored &&
    as_root "${apt[@]}" install -y --no-install-recommends ${lately:+$lately/$VERSION_CODENAME-backports}; } >"$cache/apt-install.log" 2>&1 ||
    { tail -5 "$cache/apt-install.log" >&2; die "apt-get install failed: the whole log is $cache/apt-install.log"; }
  as_root rm -rf "$apt_dir/archives"
}

virtual_environment() {
  local python stamp=.venv/.schedcp-lock want
  want=$(cat requirements-bootstrap.lock requirements.lock pyproject.toml | sha256sum | cut -c1-64)
  [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
  python=$(command -v python3.11 || command -v python3)
  "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || python=/usr/bin/python3
  say "virtual environment (.venv) from requirements.lock"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
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
packages
virtual_environment
