# SPDX-License-Identifier: Apache-2.0
"""The confined call of a compiler: bytes in and out through pipes, no file, no network, limited time and memory."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf import confine
from policy_lake.model import InfraError

SCRIPT = Path(confine.__file__)


@dataclass(frozen=True, slots=True)
class Limits:
    """CPU time in seconds and address space in bytes, for each command."""

    cpu_s: int = 20
    memory: int = 3 << 30


@functools.cache
def can_confine() -> bool:
    """Whether this kernel can keep a compiler from reading what it was not told to."""
    return confine.landlock_abi() > 0


def launcher(reads: Sequence[str], limits: Limits = Limits()) -> list[str]:
    """The words before a command that confine it; more `--read PATH` may follow, then `--` and the command."""
    allowed = [word for path in dict.fromkeys(reads) for word in ("--read", path)]
    limited = ["--cpu", str(limits.cpu_s), "--memory", str(limits.memory)]
    landlock = [] if can_confine() else ["--no-landlock"]
    return [_python(), "-I", "-S", str(SCRIPT), *limited, *landlock, *allowed]


def launch(
    commands: Sequence[Sequence[str]], data: bytes, *, reads: Sequence[str], limits: Limits, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Run the commands, each feeding the next, on `data`; how the first that failed ended.

    subprocess.TimeoutExpired after `timeout_s` of wall time. InfraError when they could not be started or confined.
    """
    words = [word for command in commands for word in ("|", *command)][1:]
    try:
        # Symbolising its own crash, clang would want files in /tmp. In /, no relative name means anything.
        done = subprocess.run(
            [*launcher(reads, limits), "--", *words], input=data, capture_output=True, timeout=timeout_s, check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LLVM_DISABLE_SYMBOLIZATION": "1"}, cwd="/",
        )  # fmt: skip
    except OSError as error:
        raise InfraError(f"cannot run {commands[0][0]}: {error}") from error
    if done.returncode == confine.UNABLE:
        told = done.stderr.decode(errors="replace").strip()
        raise InfraError(f"cannot run {commands[0][0]} confined: {told[:300]}")
    return done


@functools.cache
def _python() -> str:
    """This Python without its environment: the launcher needs the standard library's smallest part."""
    return os.path.realpath(sys.executable)
