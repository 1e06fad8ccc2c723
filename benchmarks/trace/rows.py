# SPDX-License-Identifier: Apache-2.0
"""The tasks that a recording follows, operation by operation in ns, and their arrangement as a trace in us."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmarks.trace.tasks import SHARES, SLEEP, Trace, TraceInfo


@dataclass(slots=True)
class Op:
    kind: int
    cpu_ns: int
    at_ns: int
    arg: int = 0


@dataclass(slots=True)
class Task:
    """A followed task: `used_ns` of CPU until `since_ns`, when it was last put on one (None: it is not on any)."""

    index: int
    born_ns: int
    nice: int
    used_ns: int = 0
    since_ns: int | None = None
    blocked_ns: int | None = None
    woken_ns: int | None = None
    waker: Op | None = None
    state: str = ""
    ops: list[Op] = field(default_factory=list)

    def do(self, kind: int, at_ns: int, arg: int = 0) -> Op:
        running_ns = at_ns - self.since_ns if self.since_ns is not None else 0
        self.ops.append(Op(kind, self.used_ns + running_ns, at_ns, arg))
        return self.ops[-1]


def at_shares(delays_ns: list[int]) -> tuple[float, ...]:
    """The delays in us at `SHARES` of them, by nearest rank."""
    if not delays_ns:
        return ()
    return tuple(round(float(q) / 1e3, 3) for q in np.quantile(delays_ns, SHARES, method="inverted_cdf"))


def arranged(info: TraceInfo, tasks: list[Task]) -> Trace:
    """Sums are rounded, not their parts: what a task used is right to 1 us however many operations it has."""
    columns: list[list[int]] = [[], [], [], [], []]
    for task in tasks:
        used_us, passed_us = 0, 0
        for op in task.ops:
            after_us = round(op.cpu_ns / 1e3) - used_us
            off_us = _coarse(max(0, round((op.at_ns - task.born_ns) / 1e3) - passed_us - after_us))
            used_us, passed_us = used_us + after_us, passed_us + after_us + off_us
            arg = round(op.arg / 1e3) if op.kind == SLEEP else op.arg
            for column, value in zip(columns, (task.index, op.kind, after_us, off_us, arg), strict=True):
                column.append(value)
    return Trace(info, *(np.array(column, dtype=np.int64) for column in columns))


def _coarse(us: int) -> int:
    """Six significant bits are enough for a time line, and take a third less room; what is lost goes to the next."""
    drop = max(0, us.bit_length() - 6)
    return us >> drop << drop
