# SPDX-License-Identifier: Apache-2.0
"""From the scheduler's events to a trace: follows every task descended from the command, and drops all others."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from benchmarks.trace.perf_data import Event
from benchmarks.trace.progress import ASLEEP, READY, RUNNING, Progress
from benchmarks.trace.rows import Op, Task, arranged, at_shares
from benchmarks.trace.tasks import EXIT, FORK, NAME, NICE, SLEEP, THREAD, WAIT, WAKE, Trace, TraceInfo
from benchmarks.trace.tracepoints import EXEC, NEW, RENAME, SOFT_IN, SOFT_OUT, SWITCH, WAKING
from policy_lake.errors import InfraError

_HARD, _SOFT = 8 | 64, 16  # TRACE_FLAG_HARDIRQ, _NMI; _SOFTIRQ (include/linux/trace_events.h)
_ASLEEP, _DEAD = 0xFF, 0x30  # of prev_state: a task that is merely preempted has neither
_CLONE_THREAD = 0x10000
_NORMAL_PRIO = 120  # nice 0; 100 to 139 are the fair class


class TraceBuilder:
    """Feed it the events in the order of time: it starts with the first exec of `root` and ends with its exit."""

    def __init__(self, root: int, base_nice: int, cpus: Collection[int]) -> None:
        self._root, self._base_nice, self._cpus = root, base_nice, cpus
        self._progress = Progress(cpus)
        self._name = ""
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        self._alive: dict[int, Task] = {}
        self._tasks: list[Task] = []
        self._names: dict[str, int] = {}
        self._delays_ns: list[int] = []
        self._edges: list[tuple[Op, Op]] = []
        self._soft: set[int] = set()
        self._switched_ns: dict[int, int] = {}

    @property
    def ended(self) -> bool:
        return self._end_ns is not None

    def take(self, event: Event) -> None:
        """One event; those before the start and after the end do not count."""
        if self._start_ns is not None and not self.ended:
            self._progress.advance(event.time_ns)
        if event.name == EXEC:
            self._exec(event)
        elif self._start_ns is None:
            if event.name == RENAME and event.fields[0] == self._root:
                self._name = event.fields[1]
            elif event.name == SWITCH:
                self._progress.occupy(event.cpu, event.fields[3] not in (0, self._root))
        elif not self.ended:
            self._notice(event)
            _TAKES[event.name](self, event)

    def _notice(self, event: Event) -> None:
        """Who is current runs, even if no event says that it came: a kernel may leave out switches from the idle task.

        (6.18 does in some virtual machines, two of three on an idle host.) An idle CPU takes a task when it is ready.
        """
        task = self._alive.get(event.current)
        if task and task.since_ns is None:
            ready_ns = task.woken_ns or task.blocked_ns or task.born_ns
            self._come(task, max(ready_ns, self._switched_ns.get(event.cpu, 0)), woken=False)

    def _exec(self, event: Event) -> None:
        pid, old_pid = event.fields
        if self._start_ns is None and pid == self._root:
            self._start_ns = event.time_ns
            first = self._add(pid, event.time_ns, 0)
            first.since_ns = event.time_ns
            self._progress.advance(event.time_ns)
            self._become(first, RUNNING)
        elif old_pid != pid and old_pid in self._alive:
            # A thread that calls exec becomes the process, and has its id from then on.
            self._alive[pid] = self._alive.pop(old_pid)

    def _add(self, pid: int, at_ns: int, nice: int) -> Task:
        self._alive[pid] = made = Task(len(self._tasks), at_ns, nice)
        self._tasks.append(made)
        return made

    def _become(self, task: Task, state: str) -> None:
        self._progress.move(task.state, state)
        task.state = state

    def _new(self, event: Event) -> None:
        pid, _, clone_flags = event.fields
        parent = self._alive.get(event.current)
        if parent is None:
            if gone := self._alive.pop(pid, None):
                self._become(gone, "")  # its exit was not seen
            return
        child = self._add(pid, event.time_ns, parent.nice)
        self._become(child, READY)
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
            self._become(task, READY)
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
        self._progress.occupy(event.cpu, next_pid != 0 and coming is None)
        self._switched_ns[event.cpu] = event.time_ns

    def _leave(self, task: Task, event: Event, prio: int, state: int) -> None:
        at_ns = event.time_ns
        nice = prio - _NORMAL_PRIO - self._base_nice
        if nice != task.nice and -20 <= nice <= 19:
            task.nice = nice
            task.do(NICE, at_ns, nice)
        if task.since_ns is not None:
            task.used_ns += at_ns - task.since_ns
            task.since_ns = None
        self._become(task, "" if state & _DEAD else ASLEEP if state & _ASLEEP else READY)
        if state & _DEAD:
            self._exit(task, event.fields[0], at_ns)
        elif state & _ASLEEP:
            task.blocked_ns, task.woken_ns = at_ns, None

    def _come(self, task: Task, at_ns: int, *, woken: bool = True) -> None:
        if task.blocked_ns is not None:
            # No wake-up was seen after it left: then it is the one that came just before.
            woken_ns = task.blocked_ns if task.woken_ns is None else task.woken_ns
            if woken:
                self._delays_ns.append(at_ns - woken_ns)
            if task.waker:
                self._edges.append((task.waker, task.do(WAIT, task.blocked_ns)))
            else:
                task.do(SLEEP, task.blocked_ns, woken_ns - task.blocked_ns)
        task.blocked_ns = task.woken_ns = task.waker = None
        task.since_ns = at_ns
        self._become(task, RUNNING)

    def _exit(self, task: Task, pid: int, at_ns: int) -> None:
        task.do(EXIT, at_ns)
        del self._alive[pid]
        if task.index == 0:
            self._end_ns = at_ns

    def finish(self, *, kernel: str, busy_share: float, stolen_share: float) -> Trace:
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
            command=self._name, kernel=kernel, cpus=len(self._cpus), wall_us=wall_ns // 1000,
            quiet_us=round(self._progress.passed_ns / 1e3), names=tuple(self._names),
            delays_us=at_shares(self._delays_ns), wakeups=len(self._delays_ns),
            busy_share=round(busy_share, 4), stolen_share=round(stolen_share, 4),
        )  # fmt: skip
        return arranged(info, self._tasks)


def _enter_soft(builder: TraceBuilder, event: Event) -> None:
    builder._soft.add(event.cpu)


def _leave_soft(builder: TraceBuilder, event: Event) -> None:
    builder._soft.discard(event.cpu)


_TAKES = {
    SWITCH: TraceBuilder._switch, WAKING: TraceBuilder._waking, NEW: TraceBuilder._new, RENAME: TraceBuilder._rename,
    SOFT_IN: _enter_soft, SOFT_OUT: _leave_soft,
}  # fmt: skip


def build_trace(
    events: Iterable[Event], root: int, *, kernel: str, cpus: Collection[int], busy_share: float, stolen_share: float,
    base_nice: int,
) -> Trace:  # fmt: skip
    """The trace of process `root` and its descendants, from events in the order of time.

    `cpus` are the numbers of those on which it may run. Nice values count from `base_nice`, the recorder's own: who
    records a command with a high priority, to keep others out of it, does not want that in the trace.
    """
    builder = TraceBuilder(root, base_nice, cpus)
    for event in events:
        builder.take(event)
        if builder.ended:
            break
    return builder.finish(kernel=kernel, busy_share=busy_share, stolen_share=stolen_share)
