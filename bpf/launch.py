# SPDX-License-Identifier: Apache-2.0
"""The confined call of a compiler: bytes in and out through pipes, no file, no network, limited time and memory."""

from __future__ import annotations

import functools
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf import confine
from policy_lake.errors import InfraError

SCRIPT = Path(confine.__file__)
OUTPUT_LIMIT = 64 << 20  # bytes; a precompiled header has 16 MiB, an object of ours 60 KiB


class OutputError(Exception):
    """A command wrote more than OUTPUT_LIMIT."""


@dataclass(frozen=True, slots=True)
class Limits:
    """CPU time in seconds and address space in bytes, for each command."""

    cpu_s: int
    memory: int = 2 << 30


@functools.cache
def can_confine() -> bool:
    """Whether this kernel can keep a compiler from reading what it is not allowed to."""
    return confine.landlock_abi() > 0


def launcher(reads: Sequence[str], limits: Limits) -> list[str]:
    """The words before a command that confine it; `--read` and `--write` may follow, then `--` and the command."""
    allowed = [word for path in dict.fromkeys(reads) for word in ("--read", path)]
    limited = ["--cpu", str(limits.cpu_s), "--memory", str(limits.memory)]
    landlock = [] if can_confine() else ["--no-landlock"]
    return [_python(), "-I", "-S", str(SCRIPT), *limited, *landlock, *allowed]


def launch(
    commands: Sequence[Sequence[str]], data: bytes, *, reads: Sequence[str], limits: Limits, timeout_s: float,
    write: str = "",
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Run the commands, each feeding the next, on `data`; how the first that failed ended.

    `write` is the one file, if any, that they may write to.

    TimeoutError after `timeout_s` of wall time, OutputError for more than OUTPUT_LIMIT. InfraError when they could not
    be started or confined.
    """
    words = [word for command in commands for word in ("|", *command)][1:]
    written = ["--write", write] if write else []
    try:
        # Symbolising its own crash, clang would want files in /tmp. In /, no relative name means anything.
        process = subprocess.Popen(
            [*launcher(reads, limits), *written, "--with-parent", str(os.getpid()), "--", *words], cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "LLVM_DISABLE_SYMBOLIZATION": "1"},
        )  # fmt: skip
    except OSError as error:
        raise InfraError(f"cannot run {commands[0][0]}: {error}") from error
    with process:
        try:
            stdout, stderr = _exchange(process, data, time.monotonic() + timeout_s)
        except BaseException:
            process.kill()  # and what it started dies with it
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    if done.returncode == confine.UNABLE:
        reason = done.stderr.decode(errors="replace").strip()
        raise InfraError(f"cannot run {commands[0][0]} confined: {reason[:300]}")
    return done


def _exchange(process: subprocess.Popen[bytes], data: bytes, until: float) -> tuple[bytes, bytes]:
    """Write to a process and read what it writes, within limits: one line of source can ask for a gigabyte."""
    assert process.stdin and process.stdout and process.stderr
    outputs = {process.stdout: bytearray(), process.stderr: bytearray()}
    rest = memoryview(data)
    with selectors.DefaultSelector() as waiting:
        for pipe in (process.stdin, *outputs):
            os.set_blocking(pipe.fileno(), False)
            waiting.register(pipe, selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(0.0, until - time.monotonic()))
            if not ready and time.monotonic() >= until:
                raise TimeoutError
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    rest = rest[_written(key.fd, rest) :]
                    got = bool(rest)
                else:
                    got = _read(key.fd, outputs[key.fileobj])  # type: ignore[index]
                if not got:
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    return bytes(outputs[process.stdout]), bytes(outputs[process.stderr])


def _written(pipe: int, rest: memoryview) -> int:
    try:
        return os.write(pipe, rest[: 1 << 16])
    except BrokenPipeError:  # it has heard enough
        return len(rest)


def _read(pipe: int, output: bytearray) -> bool:
    got = os.read(pipe, 1 << 16)
    output += got
    if len(output) > OUTPUT_LIMIT:
        raise OutputError
    return bool(got)


@functools.cache
def _python() -> str:
    """This Python without its environment: the launcher needs the standard library's smallest part."""
    return os.path.realpath(sys.executable)
