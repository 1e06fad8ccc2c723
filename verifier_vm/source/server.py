# SPDX-License-Identifier: Apache-2.0
"""The process that parses: loads libclang once, then forks for each source, so that a crash costs one child.

`python -I -S server.py LIBRARY NAME=DIRECTORY...` reads one JSON request a line, {"source", "flags", "constants"}, and
answers with one line: what analyse() gives, or {"ended": how, "detail": words}: "cpu" (it used ENDLESS_S seconds of CPU
time), "crash" (by a signal of its own), or "lost" (anything else: nobody knows who ended it). It ends with its input.
Whoever starts it has confined it already.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import resource
import signal
import sys

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
ENDLESS_S = 3  # of CPU time, fifty times what our largest policy takes
# The kernel counts for the limit by ticks, which on a busy host were 3 s where 2.7 s had run (Linux 6.18).
CPU_S = 5
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
    _, status, used = os.wait4(child, 0)
    if len(answer) == ANSWER:
        return json.dumps({"failed": f"its answer is larger than {ANSWER >> 10} KiB"}).encode()
    if status or not answer:
        end = how_it_ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)
        return json.dumps(end).encode()
    return answer


def how_it_ended(status: int, cpu_s: float) -> dict[str, str]:
    """Why a child gave no answer, by its exit status or minus its signal, and the CPU time that the kernel counted."""
    if status == -signal.SIGXCPU and cpu_s >= ENDLESS_S:
        return {"ended": "cpu", "detail": f"{cpu_s:.1f} s"}
    if -status in CRASHES:
        return {"ended": "crash", "detail": signal.Signals(-status).name}
    return {"ended": "lost", "detail": f"status {status} after {cpu_s:.1f} s of CPU time"}


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
        pipe.write(json.dumps(analyse(asked["source"], asked["flags"], asked.get("constants", {}))).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
