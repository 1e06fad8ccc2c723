# SPDX-License-Identifier: Apache-2.0
"""The process that parses: loads libclang once, then forks for each source, so that a crash costs one child.

`python -I -S server.py LIBRARY NAME=DIRECTORY...` reads one JSON request a line, {"source", "flags"}, and answers with
one line: what analyse() gives, or {"died": how}. It ends with its input. Whoever starts it has confined it already.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import resource
import sys

CPU_S = 3  # fifty times what our largest policy takes
MEMORY = 2 << 30
ANSWER = 1 << 20


def main(library: str, *packages: str) -> None:
    """Load, then answer until there is nothing more to answer."""
    sys.dont_write_bytecode = True
    for package in packages:
        _preload(*package.split("=", 1))
    from verifier_vm.source import parse

    parse.load(library)
    from verifier_vm.source import analyse  # noqa: F401  before the first fork

    sys.setrecursionlimit(20_000)
    gc.freeze()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(_answer(line) + b"\n")
        sys.stdout.buffer.flush()


def _preload(name: str, directory: str) -> None:
    """Load a package by its directory: looking for it by name would take reading the directory above."""
    spec = importlib.util.spec_from_file_location(
        name, f"{directory}/__init__.py", submodule_search_locations=[directory]
    )
    if spec is None or spec.loader is None:
        raise ImportError(directory)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _answer(request: bytes) -> bytes:
    reading, writing = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
            if os.getppid() == parent:
                _limit()
                _work(request, writing)
                status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(ANSWER)
    status = os.waitpid(child, 0)[1]
    if status or not answer or len(answer) == ANSWER:
        return json.dumps({"died": os.waitstatus_to_exitcode(status)}).encode()
    return answer


def _limit() -> None:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    used_s = int(spent.ru_utime + spent.ru_stime)
    for what, limit in ((resource.RLIMIT_CPU, used_s + CPU_S), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        most = resource.getrlimit(what)[1]
        soft = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(what, (soft, most))


def _work(request: bytes, writing: int) -> None:
    from verifier_vm.source.analyse import analyse

    asked = json.loads(request)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(analyse(asked["source"], asked["flags"])).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
