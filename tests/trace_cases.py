# SPDX-License-Identifier: Apache-2.0
"""Traces written by hand, and the scheduler's events that make them."""

import numpy as np

from benchmarks.trace.perf_data import Event
from benchmarks.trace.tasks import OPS, Trace, TraceInfo
from benchmarks.trace.tracepoints import EXEC, NEW, RENAME, SWITCH, WAKING

ROOT = 100
MS = 1_000_000


def trace(rows, *, names=("worker",), command="top", wall_us=10_000, cpus=2):
    """A trace of (task, op, after_us, off_us, arg) rows."""
    columns = zip(*[(t, OPS.index(op), a, o, arg) for t, op, a, o, arg in rows], strict=True)
    info = TraceInfo(command=command, kernel="6.1", cpus=cpus, wall_us=wall_us, names=names)
    return Trace(info, *(np.array(column, dtype=np.int64) for column in columns))


def parent_and_child():
    """A parent that makes a child, waits for its end, sleeps 2 ms and exits: 3 + 4 + 1 ms of CPU, in that order."""
    return trace([
        (0, "fork", 3000, 0, 1), (0, "wait", 0, 0, 0), (0, "sleep", 500, 4000, 2000), (0, "exit", 500, 2000, 0),
        (1, "name", 1000, 0, 0), (1, "wake", 3000, 0, 0), (1, "exit", 0, 0, 0),
    ])  # fmt: skip


class Host:
    """Two CPUs whose scheduler says what it does."""

    def __init__(self):
        self.events = []
        self.now_ns = 0
        self.on = {0: 0, 1: 0}

    def at(self, ms):
        self.now_ns = int(ms * MS)
        return self

    def _say(self, cpu, name, fields, flags=0, current=None):
        current = self.on[cpu] if current is None else current
        self.events.append(Event(self.now_ns, cpu, name, current, flags, fields))

    def switch(self, cpu, to, *, state=0, prio=120):
        self._say(cpu, SWITCH, (self.on[cpu], prio, state, to))
        self.on[cpu] = to

    def wakes(self, cpu, pid, *, flags=0):
        self._say(cpu, WAKING, (pid,), flags)

    def starts(self, cpu):
        self.switch(cpu, ROOT)
        self._say(cpu, RENAME, (ROOT, "top"))
        self._say(cpu, EXEC, (ROOT, ROOT))

    def forks(self, cpu, pid, *, thread=False):
        self._say(cpu, NEW, (pid, "top", 0x10000 if thread else 0))

    def renames(self, cpu, name):
        self._say(cpu, RENAME, (self.on[cpu], name))
