# SPDX-License-Identifier: Apache-2.0
"""A piece of a trace: what the command did between two moments of the original, as a trace of its own.

A piece is measured in CPU time, so that it means the same in a recording made on a busier machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.trace.tasks import (
    EXIT,
    FORK,
    NAME,
    NICE,
    SLEEP,
    THREAD,
    WAIT,
    WAKE,
    Trace,
    at_us,
    first_names,
    order_of_making,
)
from policy_lake.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]
Row = tuple[int, int, int, int]  # op, after_us, off_us, arg


def cut(trace: Trace, skip_permille: int, cpu_ms: int) -> Trace:
    """From the moment by which the original had used `skip_permille` of its CPU time, for `cpu_ms` more of it.

    Tasks that were alive at that moment are made by task 0 at once, with the names and nice values that they had;
    those alive at the end exit there. Edges that cross either are dropped. InputError where nothing is left.
    """
    if not 0 <= skip_permille < 1000 or cpu_ms < 1:
        raise InputError(
            f"a piece of a trace that skips {skip_permille} of 1000 and has {cpu_ms} ms of CPU time is none"
        )
    at = at_us(trace)
    runs = _run_from(trace, at)
    low_us = int(trace.after_us.sum()) * skip_permille // 1000
    start = _moment(trace, at, runs, low_us) if skip_permille else 0
    return _Cutter(trace, at, runs, start, _moment(trace, at, runs, low_us + cpu_ms * 1000)).piece()


def _run_from(trace: Trace, at: Times) -> Times:
    """From when on each operation's task could run towards it: the one before, or the end of that one's wait."""
    runs = at - trace.after_us - trace.off_us
    woken = np.zeros(int((trace.op == WAKE).sum()) + 1, dtype=np.int64)
    woken[trace.arg[trace.op == WAKE]] = at[trace.op == WAKE]
    waits, sleeps = np.nonzero(trace.op == WAIT)[0], np.nonzero(trace.op == SLEEP)[0]
    # Neither is ever a task's last operation.
    runs[waits + 1] = np.maximum(runs[waits + 1], woken[trace.arg[waits]])
    runs[sleeps + 1] += trace.arg[sleeps]
    earlier: Times = np.minimum(runs, at)
    return earlier


def _moment(trace: Trace, at: Times, runs: Times, used_us: int) -> int:
    """The first moment by which all tasks together had used so much CPU time, spread evenly while they could run."""
    low, high = 0, int(at.max())
    while low < high:
        middle = (low + high) // 2
        parts = np.clip((middle - runs) / np.maximum(1, at - runs), 0, 1)
        low, high = (low, middle) if float((trace.after_us * parts).sum()) >= used_us else (middle + 1, high)
    return low


class _Cutter:
    def __init__(self, trace: Trace, at: Times, runs: Times, start_us: int, end_us: int) -> None:
        self._trace, self._at, self._runs = trace, at, runs
        self._start_us, self._end_us = start_us, end_us
        self._wakes = {int(trace.arg[i]): int(at[i]) for i in np.nonzero(trace.op == WAKE)[0]}
        self._blocks = {int(trace.arg[i]) for i in np.nonzero(trace.op == WAIT)[0] if at[i] <= end_us}
        self._born = {0: 0} | {
            int(trace.arg[i]): int(at[i]) for i in np.nonzero((trace.op == FORK) | (trace.op == THREAD))[0]
        }

    def piece(self) -> Trace:
        trace, names = self._trace, list(first_names(self._trace))
        known = {name: number for number, name in enumerate(trace.info.names)}
        command = known.setdefault(trace.info.command, len(known))
        kept = [task for task in order_of_making(trace) if self._lives(task)]
        if not kept or kept[0] != 0:
            raise InputError("a piece of a trace must lie before the command's exit")
        heirs = [task for task in kept if task and self._is_heir(task)]
        rows = {task: list(self._rows(task, known.get(names[task], command))) for task in kept}
        rows[0][:0] = [(FORK, 0, 0, task) for task in heirs]
        numbers = {task: number for number, task in enumerate(kept)}
        return self._renumbered([rows[task] for task in kept], numbers, tuple(known))

    def _lives(self, task: int) -> bool:
        span = self._trace.span(task)
        return self._born[task] <= self._end_us and (self._at[span.stop - 1] > self._start_us or task == 0)

    def _is_heir(self, task: int) -> bool:
        return self._born[task] <= self._start_us and self._start_us > 0

    def _rows(self, task: int, name: int) -> Iterator[Row]:
        """The task's operations from start to end; what came before is summed up in its name, nice value and wait."""
        trace, start, end = self._trace, self._start_us, self._end_us
        heir = self._is_heir(task)
        nice, opened, then = 0, not heir, self._born[task]
        unfinished: Row | None = None
        for i in trace.span(task):
            op, arg, at = int(trace.op[i]), int(trace.arg[i]), int(self._at[i])
            if at <= start and heir:
                name, nice = (arg if op == NAME else name), (arg if op == NICE else nice)
                unfinished, then = self._unfinished(op, arg, at), at
                continue
            if not opened:
                opened = True
                yield NAME, 0, 0, name
                if nice:
                    yield NICE, 0, 0, nice
                if unfinished:
                    yield unfinished
            began, then = max(then, start), at
            after = self._share(i)
            if at > end or (op == WAIT and self._wakes[arg] > end) or op == EXIT:
                yield EXIT, after, 0, 0
                return
            if self._matters(op, arg):
                yield op, after, max(0, at - began - after), arg
        # Only the command itself can have ended before the piece begins: times of the original are rounded.
        yield EXIT, 0, 0, 0

    def _share(self, i: int) -> int:
        """How much of the CPU time before operation `i` lies in the piece."""
        low, high = int(self._runs[i]), int(self._at[i])
        inside = max(0, min(high, self._end_us) - max(low, self._start_us))
        after_us = int(self._trace.after_us[i])
        if low == high:
            return after_us if self._start_us < high <= self._end_us else 0
        return min(after_us, round(after_us * inside / (high - low)))

    def _unfinished(self, op: int, arg: int, at: int) -> Row | None:
        """What is left of a wait that began before the start."""
        if op == WAIT and self._start_us < self._wakes[arg] <= self._end_us:
            return WAIT, 0, 0, arg
        if op == SLEEP and at + arg > self._start_us:
            return SLEEP, 0, 0, at + arg - self._start_us
        return None

    def _matters(self, op: int, arg: int) -> bool:
        """Whether both ends of an edge are in the piece."""
        if op == WAKE:
            return arg in self._blocks
        return op != WAIT or self._wakes[arg] > self._start_us

    def _renumbered(self, rows: list[list[Row]], numbers: dict[int, int], names: tuple[str, ...]) -> Trace:
        # Times are rounded, so at the piece's end a task may have woken another after it went to sleep for good.
        ends = [{arg for task in rows for op, _, _, arg in task if op == kind} for kind in (WAKE, WAIT)]
        edges = {edge: number for number, edge in enumerate(sorted(set.intersection(*ends)))}
        columns: list[list[int]] = [[], [], [], [], []]
        for number, task in enumerate(rows):
            owed_us = 0
            for op, after, off, arg in task:
                if op in (WAKE, WAIT) and arg not in edges:
                    owed_us += after  # its other end is out: the CPU time before it stays
                    continue
                new = edges[arg] if op in (WAKE, WAIT) else numbers[arg] if op in (FORK, THREAD) else arg
                for column, value in zip(columns, (number, op, after + owed_us, off, new), strict=True):
                    column.append(value)
                owed_us = 0
        info = replace(
            self._trace.info,
            wall_us=max(1, self._end_us - self._start_us),
            names=names,
            delays_us=(),
            quiet_us=0,
            wakeups=0,
        )
        return Trace(info, *(np.array(column, dtype=np.int64) for column in columns))
