# SPDX-License-Identifier: Apache-2.0
"""Headers parsed once: vmlinux.h has 150,000 lines, and reading them is two thirds of what compiling a policy takes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bpf.launch import Limits, launch
from bpf.toolchain import Toolchain

LIMITS = Limits(cpu_s=60)
KEEP = 8  # precompiled headers per kernel: older ones belong to headers or compilers that are gone


def precompiled(
    header: str, flags: Sequence[str], inputs: Sequence[Path], reads: Sequence[str], cache: Path, tools: Toolchain
) -> Path | None:
    """The precompiled `header`, made on first use and again when one of its `inputs`, the flags or the compiler change.

    It lies in `cache` under a name made of all these, whole or not at all; one whose size or time is not what was
    noted is made anew. None when clang refuses the header: let the source that includes it hear why.
    """
    told = [header, tools.identity, *flags]
    for path in inputs:
        stat = path.stat()
        told.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    home = cache / f"pch-{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:24]}"
    if not is_whole(home) and not _make(home, header, flags, reads, tools):
        return None
    return home / "header.pch"


def is_whole(home: Path, *, content: bool = False) -> bool:
    """Whether the file is the one that was written: by size and time, and by `content` where asked for."""
    try:
        noted = json.loads((home / "noted.json").read_text())
        stat = (home / "header.pch").stat()
        if [stat.st_size, stat.st_mtime_ns] != [noted["size"], noted["mtime_ns"]]:
            return False
        return not content or hashlib.sha256((home / "header.pch").read_bytes()).hexdigest() == noted["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def forget(home: Path) -> None:
    """Remove a precompiled header; the next compilation makes it again."""
    away = home.with_name(f"gone-{os.getpid()}-{home.name}")
    with contextlib.suppress(OSError):
        home.rename(away)  # whole or gone, for whoever looks meanwhile
        shutil.rmtree(away, ignore_errors=True)


@functools.cache
def stored(directory: Path) -> Path:
    """Where precompiled headers are kept: `front` in `directory`, or in a temporary one that ends with this process."""
    home = directory.absolute() / "front"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return home
    except OSError:
        pass
    return Path(_temporary().name)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="schedcp-front-")


def _make(home: Path, header: str, flags: Sequence[str], reads: Sequence[str], tools: Toolchain) -> bool:
    command = [tools.clang, *flags, "-x", "c-header", "-o", "-", "-"]
    done = launch([command], f'#include "{header}"\n'.encode(), reads=reads, limits=LIMITS, timeout_s=120)
    if done.returncode:
        return False
    forget(home)
    with tempfile.TemporaryDirectory(prefix="new-", dir=home.parent, ignore_cleanup_errors=True) as work:
        made = Path(work) / "made"
        made.mkdir()
        (made / "header.pch").write_bytes(done.stdout)
        stat = (made / "header.pch").stat()
        noted = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": hashlib.sha256(done.stdout).hexdigest()}
        (made / "noted.json").write_text(json.dumps(noted))
        with contextlib.suppress(OSError):  # another process was first: its is as good
            made.rename(home)
    _prune(home)
    return True


def _prune(newest: Path) -> None:
    found = sorted(newest.parent.glob("pch-*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found[KEEP:]:
        forget(path)
