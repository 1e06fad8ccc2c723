# SPDX-License-Identifier: Apache-2.0
"""The parsing process seen from outside: started when first needed, kept, replaced when it is lost."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_lake.errors import SETUP, InfraError

HERE = Path(__file__).parent
MIN_LIBCLANG, NEWEST_LIBCLANG = 19, 40
ANSWER_LIMIT = 2 << 20
_LOCK = threading.Lock()
_KEPT: dict[tuple[str, ...], ParserProcess] = {}


class ParserTimeoutError(InfraError):
    """The parser gave no answer within its wall time."""


class ParserProcess:
    """One server, for one launcher; use it under `_LOCK`."""

    def __init__(self, launcher: Sequence[str]) -> None:
        library, bindings = find_libclang(), find_bindings()
        python = os.path.realpath(sys.executable)
        ours = packages_above(__package__ or "", HERE)
        packages = (*(f"{name}={directory}" for name, directory in ours.items()), f"clang={bindings}")
        command = [python, "-I", "-S", str(HERE / "server.py"), str(library), *packages]
        if launcher:
            above = (directory / "__init__.py" for directory in ours.values())
            reads = (*above, HERE, bindings, library.resolve().parent, *_python_homes(python))
            command = [*launcher, *(word for path in reads for word in ("--read", str(path))), "--", *command]
        self.owner = os.getpid()
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "LLVM_DISABLE_SYMBOLIZATION": "1"},
            )  # fmt: skip
        except OSError as error:
            raise InfraError(f"cannot start the parser: {error}") from error

    def ask(self, request: bytes, timeout_s: float) -> bytes | None:
        """The answer to one line, or None if the process is gone; ParserTimeoutError after `timeout_s` of wall time."""
        writing, reading = self.process.stdin, self.process.stdout
        assert writing is not None and reading is not None
        try:
            writing.write(request + b"\n")
            writing.flush()
        except OSError:
            return None
        answer_line, until = b"", time.monotonic() + timeout_s
        while not answer_line.endswith(b"\n"):
            ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                self.end()
                raise ParserTimeoutError(f"the parser gave no answer within {timeout_s:g} s")
            got = os.read(reading.fileno(), 1 << 16)
            answer_line += got
            if not got or len(answer_line) > ANSWER_LIMIT:
                self.end()
                return None
        return answer_line

    def end(self) -> None:
        """Stop it and let go of its pipes."""
        if self.owner != os.getpid():  # a fork's copy: the process is not its to end
            return
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    continue
        self.process.wait()


def ask_parser(request: dict[str, Any], launcher: Sequence[str], timeout_s: float) -> dict[str, Any]:
    """What the parser says to a request; InfraError when it cannot be started, or is lost or takes too long twice.

    Its work is limited by CPU time: a time-out by the wall clock is the host's, which may be less busy the next time.
    """
    line, late = json.dumps(request).encode(), None
    with _LOCK:
        for _ in range(2):
            try:
                answer_line = _kept(tuple(launcher)).ask(line, timeout_s)
            except ParserTimeoutError as error:
                answer_line, late = None, error
            if answer_line is not None:
                answer = json.loads(answer_line)
                return answer if isinstance(answer, dict) else {}
            _drop(tuple(launcher))
    if late is not None:
        raise late
    raise InfraError(f"the parser of policies does not start (libclang, clang's Python bindings): run `{SETUP}`")


def _kept(launcher: tuple[str, ...]) -> ParserProcess:
    parser = _KEPT.get(launcher)
    if parser is None or parser.owner != os.getpid() or parser.process.poll() is not None:
        for other in list(_KEPT):  # one at a time: directories rarely change within a process
            _drop(other)
        parser = _KEPT[launcher] = ParserProcess(launcher)
    return parser


def _drop(launcher: tuple[str, ...]) -> None:
    parser = _KEPT.pop(launcher, None)
    if parser:
        parser.end()


@atexit.register
def _end_all() -> None:
    for launcher in list(_KEPT):
        _drop(launcher)


def find_libclang() -> Path:
    """libclang's file, the oldest from 19 on, as for the compiler; InfraError if there is none."""
    for version in range(MIN_LIBCLANG, NEWEST_LIBCLANG):
        for pattern in (f"llvm-{version}/lib/libclang-{version}.so*", f"llvm-{version}/lib/libclang.so*",
                        f"*/libclang-{version}.so*", f"*/libclang.so.{version}*"):  # fmt: skip
            for home in ("/usr/lib", "/usr/lib64", "/usr/local/lib"):
                for path in sorted(Path(home).glob(pattern)):
                    return path
    raise InfraError(f"libclang {MIN_LIBCLANG} or newer is not installed: run `{SETUP}`")


def find_bindings() -> Path:
    """The directory of the package `clang`; InfraError if it is not installed."""
    spec = importlib.util.find_spec("clang")
    if spec is None or not spec.submodule_search_locations:
        raise InfraError(f"clang's Python bindings are not installed: run `{SETUP}`")
    return Path(next(iter(spec.submodule_search_locations)))


def packages_above(name: str, directory: Path) -> dict[str, Path]:
    """A package and those that it lies in, the outermost first, each with its directory."""
    parts = name.split(".")
    places = reversed([directory, *directory.parents][: len(parts)])
    return {".".join(parts[: depth + 1]): place for depth, place in enumerate(places)}


def _python_homes(python: str) -> list[Path]:
    """The interpreter and its standard library; not its prefix, which may be /usr or somebody's home."""
    return [Path(python), Path(os.__file__).parent, *Path(sys.base_prefix, "lib").glob("libpython*")]
