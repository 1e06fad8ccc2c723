# SPDX-License-Identifier: Apache-2.0
"""The Linux source that is built: Debian's package of it, on this host, and of it what a guest needs for tinyconfig."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.secrets import child_environment

PACKAGE = "linux-source-6.1"
NEEDS = ("gcc", "make", "flex", "bison", "bc", "perl", "xz")
# Where tinyconfig for x86 compiles something, with everything below, or without.
SUBTREES = (
    "arch/x86", "certs", "drivers/base", "drivers/clocksource", "fs/ramfs", "include", "init", "ipc", "kernel", "lib",
    "mm", "scripts", "tools/include", "usr", "virt",
)  # fmt: skip
FLAT = ("", "block", "crypto", "drivers/char", "drivers/rtc", "fs", "io_uring", "security")
# A configured tree has these, and kbuild refuses to build elsewhere from a tree that is configured.
_CONFIGURED = ("include/config", "include/generated", "arch/x86/include/generated")
_BUILT = (".o", ".a", ".cmd", ".symvers", ".order", ".modinfo")


def source(cache_dir: Path) -> Path:
    """The unpacked and configured source, fetched once; InfraError says what to install where a tool is missing."""
    missing = [name for name in NEEDS if not shutil.which(name)]
    if missing:
        raise InfraError(f"a kernel build needs {missing[0]}: run `apt-get install {' '.join(NEEDS)} libelf-dev`")
    place = cache_dir / "kernel-source"
    tree = place / PACKAGE
    if not (tree / ".config").is_file():
        place.mkdir(parents=True, exist_ok=True)
        try:
            run_in(["apt-get", "-q", "download", PACKAGE], place)
        except InfraError as error:
            raise InfraError(f"{error}: run `apt-get update`, for Debian's {PACKAGE}") from None
        run_in(["dpkg", "-x", str(next(place.glob(f"{PACKAGE}_*.deb"))), "."], place)
        run_in(["tar", "xf", f"usr/src/{PACKAGE}.tar.xz"], place)
        run_in(["make", "-s", "tinyconfig"], tree)
        shutil.rmtree(place / "usr")
    return tree


def source_files(tree: Path) -> Iterator[Path]:
    """Those files of the source, relative to it, with which tinyconfig is built: the above, all of Kconfig and kbuild.

    What a build has left in the tree is not among them.
    """
    for folder, folders, names in os.walk(tree):
        here = Path(folder).relative_to(tree)
        folders[:] = sorted(name for name in folders if str(here / name) not in _CONFIGURED)
        within = str(here if here != Path() else "")
        wanted = within in FLAT or any(here.is_relative_to(subtree) for subtree in SUBTREES)
        for name in sorted(names):
            described = name.startswith(("Kconfig", "Kbuild", "Makefile"))
            if (wanted or described) and not _is_built(Path(folder), name):
                yield here / name


def run_in(command: Sequence[str], folder: Path) -> str:
    """What a command printed; InfraError with its first words if it fails."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False, env=child_environment())
    if done.returncode:
        raise InfraError(f"{' '.join(command[:3])} … ended with {done.returncode}")
    return done.stdout


def _is_built(folder: Path, name: str) -> bool:
    """kbuild leaves a note of how it made each file; names beginning with a dot are its own, or the configuration."""
    return name.startswith(".") or name.endswith(_BUILT) or (folder / f".{name}.cmd").exists()
