# SPDX-License-Identifier: Apache-2.0
"""Which clang: found once, and what it needs to read."""

from __future__ import annotations

import functools
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import SETUP, InfraError
from policy_lake.secrets import child_environment

MIN_CLANG = 19
NEWEST_CLANG = 40  # how far up versioned names are looked for; plain `clang` comes last
SUFFIXES = (*(f"-{version}" for version in range(MIN_CLANG, NEWEST_CLANG)), "")
NAMES = tuple(f"{name}{suffix}" for suffix in SUFFIXES for name in ("clang", "llvm-strip"))
# Where shared libraries and the loader's list of them lie; all of it is what packages brought.
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler, by its real path, and the strip of one LLVM."""

    clang: str
    strip: str

    @property
    def headers(self) -> tuple[Path, ...]:
        """Where it looks for headers besides the directories given to it."""
        own = sorted(Path(self.clang).parents[1].glob("lib*/clang/*/include"))
        return (Path("/usr/local/include"), *own, Path("/usr/include"))

    @property
    def multiarch(self) -> tuple[Path, ...]:
        """Where this host keeps the headers of its architecture (bits/, asm/), which clang does not search for BPF."""
        return tuple(path for path in (Path(f"/usr/include/{platform.machine()}-linux-gnu"),) if path.is_dir())

    @property
    def reads(self) -> tuple[str, ...]:
        """What its programs must be able to read to start."""
        home = Path(self.clang).parents[1]
        return (*LIBRARIES, self.clang, self.strip, *(str(home / name) for name in ("bin", "lib", "lib64")))

    @property
    def identity(self) -> str:
        """Changes when another compiler is installed in its place."""
        stat = Path(self.clang).stat()
        return f"{self.clang} {stat.st_size} {stat.st_mtime_ns}"


@functools.cache
def find_toolchain() -> Toolchain:
    """The oldest clang from 19 on, which is what policies are tried with, and its llvm-strip; InfraError if none."""
    for suffix in SUFFIXES:
        clang, strip = shutil.which(f"clang{suffix}"), shutil.which(f"llvm-strip{suffix}")
        if clang and strip and (suffix or _version(clang) >= MIN_CLANG):
            # llvm-strip is a link to llvm-objcopy, which takes from its own name what it is to do: keep that.
            return Toolchain(str(Path(clang).resolve()), strip)
    raise InfraError(f"clang {MIN_CLANG} or newer with llvm-strip is not installed: run `{SETUP}`")


def _version(clang: str) -> int:
    out = subprocess.run(
        [clang, "--version"], capture_output=True, text=True, timeout=20, check=False, env=child_environment()
    ).stdout
    match = re.search(r"version (\d+)", out)
    return int(match[1]) if match else 0
