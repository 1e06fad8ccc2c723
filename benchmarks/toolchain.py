# SPDX-License-Identifier: Apache-2.0
"""A toolchain that a guest can run: the files of this host's own packages, with all that those depend on.

Debian's dpkg says which files those are. What no build of C needs is left out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.secrets import child_environment

PACKAGES = (
    "bc", "bison", "coreutils", "dash", "diffutils", "findutils", "flex", "gcc", "grep", "gzip", "libc6-dev", "make",
    "mawk", "sed",
)  # fmt: skip
# Links that maintainer scripts make, so that no package has them.
LINKS = (("/bin/sh", "/bin/dash"), ("/usr/bin/awk", "/usr/bin/mawk"))
_WITHIN = re.compile(r"/(usr/)?(bin|lib|lib64|libexec|include)/|/usr/share/(bison|aclocal)/")
_WITHOUT = re.compile(
    r"/lto1$|-lto-dump|/lib[a-z]*san|/libgprofng|/gprofng|/libstdc\+\+\.a|/lib/locale/|/gconv/|/systemd/|/apt/|/dpkg/|/debug/"
)
_STATIC_NEEDED = re.compile(r"/(libgcc|libgcc_eh|libc_nonshared|libpthread|libdl|librt|libm)\.a$")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def toolchain_files() -> Iterator[tuple[str, Path]]:
    """The files by their paths in the guest, which are those of the host.

    InfraError that says what to install where a package is missing, or on a host without dpkg.
    """
    for name in sorted(_closure()):
        for line in _dpkg("--listfiles", name).splitlines():
            path = Path(line)
            if _WITHIN.match(line) and not _WITHOUT.search(line) and _is_wanted(path):
                yield line, path
                # From Debian 13 on it is listed below /usr alone; programs name the loader, and libc.so its parts,
                # by the paths without, which are there by a link of the host's that no file of a guest can replace.
                if name == "libc6" and line.startswith("/usr/lib"):
                    yield line.removeprefix("/usr"), path
    for link, target in LINKS:
        yield link, Path(target)


def _is_wanted(path: Path) -> bool:
    if path.suffix == ".a" and not _STATIC_NEEDED.search(str(path)):
        return False
    return path.is_symlink() or path.is_file()


def _closure() -> set[str]:
    """The packages and all that they depend on; of alternatives those that are installed."""
    depends: dict[str, str] = {}
    for line in _dpkg(
        "--show", "--showformat=${db:Status-Status} ${Package} ${Pre-Depends}, ${Depends}\n"
    ).splitlines():
        status, name, wanted = (*line.split(" ", 2), "")[:3]
        if status == "installed":
            depends[name] = wanted
    missing = [name for name in PACKAGES if name not in depends]
    if missing:
        raise InfraError(f"a build in the guest needs {missing[0]}: run `apt-get install {' '.join(PACKAGES)}`")
    closure: set[str] = set()
    new = set(PACKAGES)
    while new:
        closure |= new
        named = {match[0] for name in new for part in re.split("[,|]", depends[name]) if (match := _NAME.search(part))}
        new = {name for name in named if name in depends} - closure
    return closure


def _dpkg(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["dpkg-query", *arguments], capture_output=True, text=True, check=False, env=child_environment()
        )
    except OSError:
        raise InfraError("a build in the guest takes its toolchain from Debian packages, and here is no dpkg") from None
    if done.returncode:
        raise InfraError(f"dpkg-query {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
