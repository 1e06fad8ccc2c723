# SPDX-License-Identifier: Apache-2.0
"""A trace as the program that the guest's replayer carries out (guest/replay_program.h has the format)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.comm import COMM_BYTES, comm_bytes
from benchmarks.trace.cut import cut
from benchmarks.trace.file import read_trace
from benchmarks.trace.polls import without_looks
from benchmarks.trace.tasks import EXIT, FORK, NAME, NICE, SLEEP, THREAD, WAIT, WAKE, Trace
from policy_lake.errors import InputError
from policy_lake.show import for_terminal, name_shown

MOST_NAMED = 8
MAGIC = b"SCHEDRP2"
_NOTHING = 8
_LONGEST_US = (1 << 28) - 1


def program(trace: Trace, footprints_kib: Mapping[str, int] | None = None) -> bytes:
    """The program's bytes. Name 0 is the command's: every task inherits it, until it gets another.

    `footprints_kib` stand in place of the trace's own; a name without one has what the replayer is told of all.
    """
    footprints = {**trace.info.footprints_kib, **(footprints_kib or {})}
    names = list(dict.fromkeys([trace.info.command, *trace.info.names]))
    places = {name: number for number, name in enumerate(names)}
    numbers = [places[name] for name in trace.info.names]
    kinds, afters, arguments = trace.op.tolist(), trace.after_us.tolist(), trace.arg.tolist()
    encoded: list[int] = []
    args: list[int] = []
    first = [0]
    for task in range(trace.tasks):
        for i in trace.span(task):
            kind, after_us = kinds[i], afters[i]
            while after_us > _LONGEST_US:
                encoded.append(_LONGEST_US << 4 | _NOTHING)
                args.append(0)
                after_us -= _LONGEST_US
            encoded.append(after_us << 4 | kind)
            # A nice value must not be negative there.
            arg = arguments[i] + (20 if kind == NICE else 0)
            args.append(numbers[arg] if kind == NAME else arg)
        first.append(len(encoded))
    edges = int((trace.op == WAKE).sum())
    header = struct.pack(
        "<8s4I2Q", MAGIC, trace.tasks, len(encoded), edges, len(names), critical_us(trace), total_us(trace)
    )
    ops = np.column_stack([np.array(encoded, "<u4"), np.array(args, "<i4").view("<u4")]).tobytes()
    texts = b"".join(comm_bytes(name)[:COMM_BYTES].ljust(COMM_BYTES + 1, b"\0") for name in names)
    kib = np.array([footprints.get(name, 0) for name in names], "<u4").tobytes()
    return header + texts + kib + np.array(first, "<u4").tobytes() + ops


def program_of_trace(path: Path, numbers: Mapping[str, int], footprints_kib: Mapping[str, int] | None = None) -> bytes:
    """The program of the trace in a file, or of the piece that the numbers `skip_permille` and `cpu_ms` mean.

    What a wait looked up in vain is left out (polls.py). `footprints_kib` are the user's, by name; InputError for a
    name that the trace has not.
    """
    trace = read_trace(path)
    check_names(trace, footprints_kib or {}, str(path))
    trace, _ = without_looks(trace)
    if "cpu_ms" in numbers:
        trace = cut(trace, numbers.get("skip_permille", 0), numbers["cpu_ms"])
    return program(trace, footprints_kib)


def check_names(trace: Trace, footprints_kib: Mapping[str, int], where: str) -> None:
    """InputError for a footprint of a name that no task of the trace has."""
    known = sorted({trace.info.command, *trace.info.names})
    for name in footprints_kib:
        if name not in known:
            some = ", ".join(map(name_shown, known[:MOST_NAMED])) + (", …" if len(known) > MOST_NAMED else "")
            raise InputError(
                f"{where}: a footprint of '{for_terminal(name)}', and no task is called so: there are {some}"
            )


def total_us(trace: Trace) -> int:
    """CPU time of all tasks."""
    return int(trace.after_us.sum())


def critical_us(trace: Trace) -> int:
    """The longest chain of bursts, sleeps and edges: the makespan on as many CPUs as there are tasks."""
    clock = [0] * trace.tasks
    ops, afters, args, starts = (c.tolist() for c in (trace.op, trace.after_us, trace.arg, trace.starts))
    woken: dict[int, int] = {}
    sleepers: dict[int, tuple[int, int]] = {}
    ready = [(0, 0)]
    longest = 0
    while ready:
        task, i = ready.pop()
        while True:
            op, arg = ops[i], args[i]
            reached = clock[task] + afters[i]
            if op == WAIT:
                if arg not in woken:
                    sleepers[arg] = (task, i)
                    break
                reached = max(reached, woken[arg])
            elif op == SLEEP:
                reached += arg
            clock[task] = reached
            if op == WAKE:
                woken[arg] = reached
                ready += [sleepers.pop(arg)] if arg in sleepers else []
            elif op in (FORK, THREAD):
                clock[arg] = reached
                ready.append((arg, starts[arg]))
            elif op == EXIT:
                longest = max(longest, reached)
                break
            i += 1
    return longest
