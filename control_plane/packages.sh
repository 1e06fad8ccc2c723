#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages that a run needs, and those named as arguments. Does nothing when they are there.
# A package is taken from backports only where the release's own is too old; none is ever removed for it.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/schedcp
apt_dir=$cache/apt-tools
# shellcheck source=control_plane/say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"

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
# perf's is a suite by name alone: with -t apt would take libelf from there, too.
late_floors="linux-perf:6.12"
plain="clang-19 libclang1-19 llvm-19 gcc libc6-dev bc bison flex libelf-dev libzstd-dev zlib1g-dev zstd util-linux ca-certificates $*"

have() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
without_epoch() { sed 's/^[0-9]*://'; }
at_least() { have "$1" && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$1" | without_epoch)" ge "$2"; }
below_floor() { local entry; for entry in "$@"; do at_least "${entry%:*}" "${entry#*:}" || echo "$entry"; done; }
missing() { local name; for name in "$@"; do have "$name" || echo "$name"; done; }

# shellcheck disable=SC2086
low=$(below_floor $floors) late=$(below_floor $late_floors) wanted=$(missing $plain)
[ -n "$low$late$wanted" ] || exit 0
mkdir -p "$cache" "$apt_dir/lists/partial" "$apt_dir/archives/partial"
# shellcheck disable=SC2086
say "Debian packages:" $(printf '%s\n' $low $late | sed 's/:.*//') $wanted

# A private list and private state: this machine's own sources stay as they are, and so does its mirror,
# which its configuration names and this repository does not.
# Debian's own archive is the one that also has the -updates suite; --no-release-info: there may be no lists yet.
# shellcheck disable=SC2016
uri=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
      awk -v c="$VERSION_CODENAME" '$1 == c "-updates" { best = $2 } $1 == c && !other { other = $2 } END { print best ? best : other }')
[ -n "$uri" ] || die "no Debian mirror in this machine's apt sources: add one for $VERSION_CODENAME"
backports=$VERSION_CODENAME-backports lists=$apt_dir/sources.list
{ cat /etc/apt/sources.list 2>/dev/null || true
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $backports main"; } > "$lists"
private=(-o "Dir::Etc::sourcelist=$lists" -o "Dir::State::Lists=$apt_dir/lists" -o "Dir::Cache::archives=$apt_dir/archives"
         -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0)
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q "${private[@]}")
as_root "${apt[@]}" update >&2 || die "apt-get update failed: see the lines above"

# apt's candidate is the release's own while backports has its usual priority.
candidate() { apt-cache "${private[@]}" policy "$1" | sed -n 's/^  Candidate: //p' | without_epoch; }
old_here() {
  local entry
  for entry in "$@"; do
    dpkg --compare-versions "$(candidate "${entry%:*}")" ge "${entry#*:}" || echo "${entry%:*}"
  done
}
# shellcheck disable=SC2086
from_backports=$(old_here $low) by_name=$(old_here $late)
own=$(printf '%s\n' $low $late | sed 's/:.*//' | grep -vxF -e "$from_backports" -e "$by_name" || true)
install() { [ $# -eq 0 ] || as_root "${apt[@]}" install -y --no-install-recommends --no-remove "$@"; }
# Only what is too old comes from backports: -t would take every new dependency from there.
# shellcheck disable=SC2086
{ install $wanted $own &&
  { [ -z "$from_backports" ] || install -t "$backports" $from_backports; } &&
  install ${by_name:+$by_name/$backports}; } >"$cache/apt-install.log" 2>&1 ||
  { tail -5 "$cache/apt-install.log" >&2; die "apt-get install failed: the whole log is $cache/apt-install.log"; }
as_root rm -rf "$apt_dir/archives"
