# SPDX-License-Identifier: Apache-2.0
"""A trace: what the tasks of one command did to the scheduler. No arguments, no paths, no contents of any file.

It is a list of operations, task by task. Task 0 is the command; every other one is made by a `fork` or `thread` of an
earlier line's task. `after_us` is the CPU time that the task used since its operation before, so the sum of a task's is
its CPU time; `off_us` is the time it was off the CPU meanwhile (blocked, queued or preempted): original wall time, for
time lines and for cutting windows, never replayed. `arg` is, by `op`:

fork, thread   the task that is made
wake           an edge: what a task that waits for it waits for
wait           that edge; each is woken once and waited for once
sleep          us until something outside woke it: a timer, a device, a process that does not belong to the command
name           index into `names`: the name it has from now on
nice           its nice value from now on
exit           nothing; the last operation of every task
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from policy_lake.limits import WORKLOAD_FOOTPRINT_KIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPS = ("fork", "thread", "wake", "wait", "sleep", "name", "nice", "exit")
FORK, THREAD, WAKE, WAIT, SLEEP, NAME, NICE, EXIT = range(8)
COLUMNS = ("task", "op", "after_us", "off_us", "arg")
# At these shares of all wake-ups the run-queue delay is kept.
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class TraceInfo:
    """What is known of a recording beside its operations; a field that is not of the type said is an InputError.

    `command` is a base name only. `cpus` is how many it could run on. `wall_us` is its makespan, `delays_us` the
    run-queue delays (from a wake-up to running) at `SHARES` of them, `busy_share` the share of those CPUs' time
    that was used meanwhile, by the command or by others, `stolen_share` what the hypervisor took of it.
    `quiet_us` is the makespan less what others took (trace_progress.py says how), 0 where that is not known.
    `footprints_kib` are the working sets of processes by their name at the end, as far as they are known, and
    `footprints_from` what they were estimated from: `peak_rss`, the most resident memory of each, the median by name.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    command: str
    kernel: str
    cpus: int
    wall_us: int
    names: tuple[str, ...]
    hashed: bool = False
    delays_us: tuple[float, ...] = ()
    wakeups: int = 0
    busy_share: float = 0.0
    stolen_share: float = 0.0
    quiet_us: int = 0
    footprints_kib: dict[str, int] = field(default_factory=dict)
    footprints_from: Literal["", "peak_rss"] = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trace:
    """Operations as equally long arrays, sorted by task, in each task by time (the module says what they hold)."""

    info: TraceInfo
    task: NDArray[np.int64]
    op: NDArray[np.int64]
    after_us: NDArray[np.int64]
    off_us: NDArray[np.int64]
    arg: NDArray[np.int64]
    starts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        count = int(self.task[-1]) + 1 if len(self.task) else 0
        object.__setattr__(self, "starts", np.searchsorted(self.task, np.arange(count + 1)))

    @property
    def tasks(self) -> int:
        return len(self.starts) - 1

    def span(self, task: int) -> range:
        """The indices of the operations of `task`."""
        return range(int(self.starts[task]), int(self.starts[task + 1]))

    def __len__(self) -> int:
        return len(self.task)


def with_footprints(trace: Trace, peaks_kib: Mapping[str, int]) -> Trace:
    """The trace with the peaks of the names that it has, as estimates of their working sets."""
    names = {trace.info.command, *trace.info.names}
    most = int(WORKLOAD_FOOTPRINT_KIB.high)
    known = {name: min(kib, most) for name, kib in sorted(peaks_kib.items()) if name in names and kib > 0}
    info = replace(trace.info, footprints_kib=known, footprints_from="peak_rss" if known else "")
    return replace_info(trace, info)


def replace_info(trace: Trace, info: TraceInfo) -> Trace:
    """The same operations under other information."""
    return Trace(info, trace.task, trace.op, trace.after_us, trace.off_us, trace.arg)


def replace_ops(trace: Trace, *columns: NDArray[np.int64]) -> Trace:
    """Other operations, as task, op, after_us, off_us and arg, under the same information."""
    return Trace(trace.info, *columns)


def cpu_by_name(trace: Trace) -> dict[str, float]:
    """CPU time in ms by the name that a task had when it used it."""
    total_us: dict[str, int] = {}
    ops, afters, args = trace.op.tolist(), trace.after_us.tolist(), trace.arg.tolist()
    for task, first in zip(range(trace.tasks), first_names(trace), strict=True):
        name = first
        for i in trace.span(task):
            total_us[name] = total_us.get(name, 0) + afters[i]
            if ops[i] == NAME:
                name = trace.info.names[args[i]]
    return {name: us / 1e3 for name, us in total_us.items()}


def first_names(trace: Trace) -> Iterator[str]:
    """Each task's name at its start: that of who made it, at that moment. The command starts with its own."""
    names = [trace.info.command] * trace.tasks
    ops, args = trace.op.tolist(), trace.arg.tolist()
    for task in order_of_making(trace):
        name = names[task]
        for i in trace.span(task):
            if ops[i] == NAME:
                name = trace.info.names[args[i]]
            elif ops[i] in (FORK, THREAD):
                names[args[i]] = name
    return iter(names)


def order_of_making(trace: Trace) -> Iterator[int]:
    """The tasks, each after the one that made it."""
    made, by = (trace.op == FORK) | (trace.op == THREAD), trace.task
    children: dict[int, list[int]] = {}
    for task, child in zip(by[made].tolist(), trace.arg[made].tolist(), strict=True):
        children.setdefault(task, []).append(child)
    waiting = [0]
    while waiting:
        task = waiting.pop()
        yield task
        waiting += children.get(task, [])


def at_us(trace: Trace) -> NDArray[np.int64]:
    """When each operation took place in the original, in us from the command's start."""
    at = np.zeros(len(trace), dtype=np.int64)
    begin = {0: 0}
    for task in order_of_making(trace):
        span = trace.span(task)
        piece = slice(span.start, span.stop)
        at[piece] = begin[task] + np.cumsum(trace.after_us[piece] + trace.off_us[piece])
        begin |= {int(trace.arg[i]): int(at[i]) for i in span if trace.op[i] in (FORK, THREAD)}
    return at
