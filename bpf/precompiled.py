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
from policy_lake.errors import InfraError
from policy_lake.files import beyond, scratch

LIMITS = Limits(cpu_s=60)
HEADER, KFUNCS = "header.pch", "kfuncs.h"
# Without the prototypes: clang (19) forgets the type of a precompiled extern that only a cleanup calls, as bpf_for does
# bpf_iter_num_destroy, and libbpf refuses an object with an extern of no type. They are few, and parsed each time.
TYPES_ONLY = """#define BPF_NO_KFUNC_PROTOTYPES
#include "vmlinux.h"
#undef BPF_NO_KFUNC_PROTOTYPES
"""
KEEP = 8  # precompiled headers per kernel: older ones belong to headers or compilers that are gone
KEPT_BYTES = 256 << 20  # and of those no more than this: one has some 20 MiB


def precompiled(
    text: str, inputs: Sequence[Path], flags: Sequence[str], reads: Sequence[str], cache: Path, tools: Toolchain
) -> Path | None:
    """The directory with `text` precompiled (HEADER) and vmlinux.h's prototypes (KFUNCS), made when there is none.

    It lies in `cache` under a name made of the text, the flags, the compiler, and the paths, sizes and times of
    `inputs` (what the text includes, vmlinux.h first), whole or not at all; one whose size or time is not what was
    noted is made anew. None when clang refuses the text: let the source that includes it hear why.
    """
    parts = [text, tools.identity, *flags]
    for path in inputs:
        stat = path.stat()
        parts.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    home = cache / f"pch-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:24]}"
    return home if is_whole(home) or _make(home, text, inputs[0], flags, reads, tools) else None


def is_whole(home: Path, *, content: bool = False) -> bool:
    """Whether the file is the one that was written: by size and time, and by `content` where asked for."""
    try:
        noted = json.loads((home / "noted.json").read_text())
        stat = (home / HEADER).stat()
        if [stat.st_size, stat.st_mtime_ns] != [noted["size"], noted["mtime_ns"]]:
            return False
        return not content or hashlib.sha256((home / HEADER).read_bytes()).hexdigest() == noted["sha256"]
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
    return scratch("front")


def _make(home: Path, text: str, vmlinux: Path, flags: Sequence[str], reads: Sequence[str], tools: Toolchain) -> bool:
    command = [tools.clang, *flags, "-x", "c-header", "-o", "-", "-"]
    try:
        done = launch([command], text.encode(), reads=reads, limits=LIMITS, timeout_s=120)
    except TimeoutError as error:
        raise InfraError("clang did not precompile vmlinux.h within 120 s") from error
    if done.returncode:
        return False
    forget(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=home.parent, ignore_cleanup_errors=True) as work:
        made = Path(work) / "made"
        made.mkdir()
        (made / HEADER).write_bytes(done.stdout)
        (made / KFUNCS).write_text(_prototypes(vmlinux.read_text()))
        stat = (made / HEADER).stat()
        noted = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": hashlib.sha256(done.stdout).hexdigest()}
        (made / "noted.json").write_text(json.dumps(noted))
        with contextlib.suppress(OSError):  # another process was first: its is as good
            made.rename(home)
    _prune(home)
    return True


def _prototypes(header: str) -> str:
    """The part of vmlinux.h that BPF_NO_KFUNC_PROTOTYPES leaves out."""
    begin = header.find("#ifndef BPF_NO_KFUNC_PROTOTYPES\n")
    return header[begin : header.find("#endif", begin)] + "#endif\n" if begin >= 0 else ""


def _prune(newest: Path) -> None:
    made: dict[Path, int] = {}
    for path in newest.parent.glob("pch-*"):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it since
            made[path] = path.stat().st_mtime_ns
    headers = sorted(made, key=lambda path: made[path], reverse=True)
    for path in {*headers[KEEP:], *beyond(headers[1:], room=KEPT_BYTES, least_age_s=0.0)}:
        forget(path)  # whoever compiles with one just now has it open, or makes it again
