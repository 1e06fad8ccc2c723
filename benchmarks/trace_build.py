# SPDX-License-Identifier: Apache-2.0
"""From the scheduler's events to a trace: follows every task descended from the command, and drops all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.perf_data import Event
from benchmarks.trace import EXIT, FORK, NAME, NICE, SHARES, SLEEP, THREAD, WAIT, WAKE, Trace, TraceInfo
from benchmarks.tracepoints import EXEC, NEW, RENAME, SOFT_IN, SOFT_OUT, SWITCH, WAKING
from policy_lake.model import InfraError

_HARD, _SOFT = 8 | 64, 16  # TRACE_FLAG_HARDIRQ, _NMI; _SOFTIRQ (include/linux/trace_events.h)
_ASLEEP, _DEAD = 0xFF, 0x30  # of prev_state: a task that is merely preempted has neither
_CLONE_THREAD = 0x10000
_NORMAL_PRIO = 120  # nice 0; 100 to 139 are the fair class


@dataclass(slots=True)
class _Op:
    kind: int
    cpu_ns: int
    at_ns: int
    arg: int = 0


@dataclass(slots=True)
class _Task:
    """A followed task: `used_ns` of CPU until `since_ns`, when it was last put on one (None: it is not on any)."""

    index: int
    born_ns: int
    nice: int
    used_ns: int = 0
    since_ns: int | None = None
    blocked_ns: int | None = None
    woken_ns: int | None = None
    waker: _Op | None = None
    ops: list[_Op] = field(default_factory=list)

    def do(self, kind: int, at_ns: int, arg: int = 0) -> _Op:
        running_ns = at_ns - self.since_ns if self.since_ns is not None else 0
        self.ops.append(_Op(kind, self.used_ns + running_ns, at_ns, arg))
        return self.ops[-1]


class TraceBuilder:
    """Feed it the events in the order of time: it starts with the first exec of `root` and ends with its exit."""

    def __init__(self, root: int, base_nice: int) -> None:
        self._root, self._base_nice = root, base_nice
        self._name = ""
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        self._alive: dict[int, _Task] = {}
        self._tasks: list[_Task] = []
        self._names: dict[str, int] = {}
        self._delays_ns: list[int] = []
        self._edges: list[tuple[_Op, _Op]] = []
        self._soft: set[int] = set()

    @property
    def ended(self) -> bool:
        return self._end_ns is not None

    def take(self, event: Event) -> None:
        """One event; those before the start and after the end do not count."""
        if event.name == EXEC:
            self._exec(event)
        elif self._start_ns is None:
            if event.name == RENAME and event.fields[0] == self._root:
                self._name = event.fields[1]
        elif not self.ended:
            _TAKES[event.name](self, event)

    def _exec(self, event: Event) -> None:
        pid, old_pid = event.fields
        if self._start_ns is None and pid == self._root:
            self._start_ns = event.time_ns
            first = self._add(pid, event.time_ns, 0)
            first.since_ns = event.time_ns
        elif old_pid != pid and old_pid in self._alive:
            # A thread that calls exec becomes the process, and has its id from then on.
            self._alive[pid] = self._alive.pop(old_pid)

    def _add(self, pid: int, at_ns: int, nice: int) -> _Task:
        self._alive[pid] = made = _Task(len(self._tasks), at_ns, nice)
        self._tasks.append(made)
        return made

    def _new(self, event: Event) -> None:
        pid, _, clone_flags = event.fields
        parent = self._alive.get(event.current)
        if parent is None:
            self._alive.pop(pid, None)
            return
        child = self._add(pid, event.time_ns, parent.nice)
        parent.do(THREAD if clone_flags & _CLONE_THREAD else FORK, event.time_ns, child.index)

    def _rename(self, event: Event) -> None:
        pid, name = event.fields
        if task := self._alive.get(pid):
            task.do(NAME, event.time_ns, self._names.setdefault(name, len(self._names)))

    def _waking(self, event: Event) -> None:
        task = self._alive.get(event.fields[0])
        if task is None or task.woken_ns is not None:
            return
        waker = None if self._interrupts(event) else self._alive.get(event.current)
        if task.blocked_ns is not None:
            task.woken_ns = event.time_ns
        elif task.since_ns is None:
            return
        # Not off its CPU yet: this counts if it leaves it asleep all the same, and nobody wakes it again.
        task.waker = waker.do(WAKE, event.time_ns) if waker and waker is not task else None

    def _interrupts(self, event: Event) -> bool:
        """Whether the event is the doing of an interrupt and not of the task that it interrupted."""
        return bool(event.flags & _HARD) or (bool(event.flags & _SOFT) and event.cpu in self._soft)

    def _switch(self, event: Event) -> None:
        prev_pid, prio, state, next_pid = event.fields
        if leaving := self._alive.get(prev_pid):
            self._leave(leaving, event, prio, state)
        if coming := self._alive.get(next_pid):
            self._come(coming, event.time_ns)

    def _leave(self, task: _Task, event: Event, prio: int, state: int) -> None:
        at_ns = event.time_ns
        nice = prio - _NORMAL_PRIO - self._base_nice
        if nice != task.nice and -20 <= nice <= 19:
            task.nice = nice
            task.do(NICE, at_ns, nice)
        if task.since_ns is not None:
            task.used_ns += at_ns - task.since_ns
            task.since_ns = None
        if state & _DEAD:
            self._exit(task, event.fields[0], at_ns)
        elif state & _ASLEEP:
            task.blocked_ns, task.woken_ns = at_ns, None

    def _come(self, task: _Task, at_ns: int) -> None:
        if task.blocked_ns is not None:
            # No wake-up was seen after it left: then it is the one that came just before.
            woken_ns = task.blocked_ns if task.woken_ns is None else task.woken_ns
            self._delays_ns.append(at_ns - woken_ns)
            if task.waker:
                self._edges.append((task.waker, task.do(WAIT, task.blocked_ns)))
            else:
                task.do(SLEEP, task.blocked_ns, woken_ns - task.blocked_ns)
        task.blocked_ns = task.woken_ns = task.waker = None
        task.since_ns = at_ns

    def _exit(self, task: _Task, pid: int, at_ns: int) -> None:
        task.do(EXIT, at_ns)
        del self._alive[pid]
        if task.index == 0:
            self._end_ns = at_ns

    def finish(self, *, kernel: str, cpus: int, busy_share: float, stolen_share: float) -> Trace:
        """The trace of what was taken; tasks that outlive the command are cut at its exit. InfraError without one."""
        if self._start_ns is None or self._end_ns is None:
            missing = "start" if self._start_ns is None else "exit"
            raise InfraError(f"the command's {missing} is not among the recorded events")
        for task in self._alive.values():
            task.do(EXIT, self._end_ns)
        for number, (wake, wait) in enumerate(sorted(self._edges, key=lambda edge: edge[0].at_ns)):
            wake.arg = wait.arg = number
        paired = {id(wake) for wake, _ in self._edges}
        for task in self._tasks:
            task.ops = [op for op in task.ops if op.kind != WAKE or id(op) in paired]
        wall_ns = self._end_ns - self._start_ns
        info = TraceInfo(
            command=self._name, kernel=kernel, cpus=cpus, wall_us=wall_ns // 1000, names=tuple(self._names),
            delays_us=_at_shares(self._delays_ns), wakeups=len(self._delays_ns),
            busy_share=round(busy_share, 4), stolen_share=round(stolen_share, 4),
        )  # fmt: skip
        return _trace(info, self._tasks)


def _at_shares(delays_ns: list[int]) -> tuple[float, ...]:
    if not delays_ns:
        return ()
    return tuple(round(float(q) / 1e3, 3) for q in np.quantile(delays_ns, SHARES, method="inverted_cdf"))


def _trace(info: TraceInfo, tasks: list[_Task]) -> Trace:
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


def _enter_soft(builder: TraceBuilder, event: Event) -> None:
    builder._soft.add(event.cpu)


def _leave_soft(builder: TraceBuilder, event: Event) -> None:
    builder._soft.discard(event.cpu)


_TAKES = {
    SWITCH: TraceBuilder._switch, WAKING: TraceBuilder._waking, NEW: TraceBuilder._new, RENAME: TraceBuilder._rename,
    SOFT_IN: _enter_soft, SOFT_OUT: _leave_soft,
}  # fmt: skip


def build_trace(
    events: Iterable[Event],
    root: int,
    *,
    kernel: str,
    cpus: int,
    busy_share: float,
    stolen_share: float,
    base_nice: int,
) -> Trace:
    """The trace of process `root` and its descendants, from events in the order of time.

    Nice values count from `base_nice`, the recorder's own: who records a command with a high priority, to keep others
    out of it, does not want that in the trace.
    """
    builder = TraceBuilder(root, base_nice)
    for event in events:
        builder.take(event)
        if builder.ended:
            break
    return builder.finish(kernel=kernel, cpus=cpus, busy_share=busy_share, stolen_share=stolen_share)
