# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by setup.sh and packages.sh: `say` prints a line, and while what it says goes on, another every ten seconds on a
# terminal, elsewhere every minute, for a log's sake.
at() { printf '[setup %d:%02d]' $((SECONDS / 60)) $((SECONDS % 60)); }
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
