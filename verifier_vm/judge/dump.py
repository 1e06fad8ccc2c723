# SPDX-License-Identifier: Apache-2.0
"""What the kernel writes down of CPUs and runnable tasks when it takes a policy off in error, as records.

The format is that of scx_dump_state (kernel/sched/ext.c, 7.3), which is nobody's interface: what is not understood is
left out, and nothing here raises. A policy's own dump callbacks can write what they like between; all that they can
falsify is what is said of their own policy's cause, for a verdict does not hang on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from policy_lake.limits import DUMP_BYTES

ENDLESS_SLICE = 2**64 - 1  # SCX_SLICE_INF
BUILT_IN, GLOBAL_DSQ, LOCAL_DSQ = 1 << 63, (1 << 63) + 1, (1 << 63) + 2
IN_CUSTODY = 2  # SCX_OPSS_QUEUED: enqueue was given it, and has put it into no queue
BY_VTIME = 1  # SCX_TASK_DSQ_ON_PRIQ
MOST_TASKS = 4096
LAST = "Event counters"  # what a dump ends with
_MASK_DIGITS = 2304  # of 8192 CPUs, with a comma after every eight
_N = r"[0-9]{1,20}"
_TRIGGER = re.compile(rf"(?P<comm>.{{1,16}})\[(?P<pid>{_N})\] triggered exit kind {_N}")
_CPU = re.compile(rf"CPU (?P<number>[0-9]{{1,6}}) *: nr_run=(?P<runnable>{_N}) ")
_CURRENT = re.compile(rf" +curr=(?P<comm>.{{1,32}})\[(?P<pid>{_N})\] class=(?P<kind>\w{{1,32}})")
_TASK = re.compile(
    rf" (?P<mark>[* ])(?P<state>\S) (?P<comm>.{{0,32}})\[(?P<pid>{_N})\](?: \S{{1,160}})? (?P<ms>[+-]{_N})ms"
)
_FIELD = re.compile(r"(?P<name>[a-z_/]{1,24})=(?P<value>\S{1,2400})")


@dataclass(frozen=True, slots=True)
class Task:
    """A runnable task: since when, where it stands, and what it has; `cpu` is whose run queue it is on.

    `dsq` is the id of the queue that holds it, None for none; `cpus` a mask by number, 0 where that was not told.
    """

    comm: str
    pid: int
    cpu: int
    running: bool
    waited_ms: int
    dsq: int | None = None
    in_custody: bool = False
    by_vtime: bool = False
    vtime: int = 0
    slice_ns: int = 0
    cpus: int = 0

    @property
    def name(self) -> str:
        return f"{self.comm}[{self.pid}]"

    @property
    def bound(self) -> bool:
        """Whether it may run on one CPU only."""
        return self.cpus.bit_count() == 1

    def may_use(self, cpu: int) -> bool:
        return not self.cpus or bool(self.cpus >> cpu & 1)


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU that ran something, or had something to run; `kind` is its current task's scheduling class."""

    number: int
    comm: str = ""
    pid: int = 0
    kind: str = ""
    tasks: tuple[Task, ...] = ()

    @property
    def current(self) -> Task | None:
        """The task that it runs, if that is one of the policy's."""
        return next((task for task in self.tasks if task.running), None)


@dataclass(frozen=True, slots=True)
class Dump:
    """All that was written down; `trigger` is the task in whose turn the kernel noticed."""

    cpus: tuple[Cpu, ...] = ()
    trigger: int = -1

    @property
    def waiting(self) -> tuple[Task, ...]:
        """The runnable tasks that do not run, who waited longest first."""
        tasks = [task for cpu in self.cpus for task in cpu.tasks if not task.running]
        return tuple(sorted(tasks, key=lambda task: -task.waited_ms))

    def is_free(self, cpu: Cpu) -> bool:
        """Whether it idled, or runs just the kernel's watchdog, which it had room for."""
        watchdog = cpu.pid == self.trigger and cpu.comm.startswith("kworker/")
        return cpu.kind == "idle_sched_class" or watchdog


@dataclass(slots=True)
class _Open:
    """What the lines until now were about."""

    cpu: Cpu | None = None
    tasks: list[Task] = field(default_factory=list)


def parse_dumps(text: str) -> tuple[Dump, ...]:
    """Each of several, one after the other: the guest's watcher has one made of a stall, the policy being on still."""
    parts: list[list[str]] = [[]]
    ended = False
    for line in text[:DUMP_BYTES].splitlines():
        if ended and _TRIGGER.match(line):
            parts.append([])
            ended = False
        ended = ended or line.startswith(LAST)
        parts[-1].append(line)
    return tuple(map(_parsed, parts))


def parse_dump(text: str) -> Dump:
    """The records of the last dump, or of as much of it as there is; an empty one for what is no dump."""
    return parse_dumps(text)[-1]


def _parsed(lines: list[str]) -> Dump:
    cpus: list[Cpu] = []
    trigger, count, now = -1, 0, _Open()
    for line in lines:
        if line.startswith(LAST):
            break
        if found := _CPU.match(line):
            cpus += _closed(now)
            now = _Open(Cpu(int(found["number"])))
        elif now.cpu is None:
            trigger = int(begun["pid"]) if trigger < 0 and (begun := _TRIGGER.match(line)) else trigger
        elif not now.tasks and not now.cpu.kind and (found := _CURRENT.match(line)):
            now.cpu = replace(now.cpu, comm=found["comm"], pid=int(found["pid"]), kind=found["kind"])
        elif found := _TASK.match(line):
            count += 1
            if count > MOST_TASKS:
                break
            waited_ms = max(0, -int(found["ms"]))
            now.tasks.append(Task(found["comm"], int(found["pid"]), now.cpu.number, found["mark"] == "*", waited_ms))
        elif now.tasks and line.startswith("      "):
            now.tasks[-1] = _with(now.tasks[-1], line)
    return Dump((*cpus, *_closed(now)), trigger)


def _closed(now: _Open) -> Iterator[Cpu]:
    if now.cpu is not None:
        yield replace(now.cpu, tasks=tuple(now.tasks))


def _with(task: Task, line: str) -> Task:
    """The task with what one line adds; a value that is none is as if it were not there."""
    known = {found["name"]: found["value"] for found in _FIELD.finditer(line)}
    changes: dict[str, int | bool | None] = {}
    if "ops_state/qseq" in known:
        changes["in_custody"] = known["ops_state/qseq"].partition("/")[0] == str(IN_CUSTODY)
        changes["by_vtime"] = bool(_number(known.get("dsq_flags", ""), 0) & BY_VTIME)
    if "dsq_id" in known:
        dsq = _number(known["dsq_id"], -1)
        changes["dsq"] = dsq if dsq >= 0 else None
    for name, of in (("dsq_vtime", "vtime"), ("slice", "slice_ns")):
        if name in known:
            changes[of] = _number(known[name], 0)
    if len(mask := known.get("cpus", "")) <= _MASK_DIGITS and re.fullmatch("[0-9a-f,]+", mask):
        changes["cpus"] = int(mask.replace(",", "") or "0", 16)
    return replace(task, **changes)  # type: ignore[arg-type]


def _number(text: str, otherwise: int) -> int:
    if re.fullmatch(r"0x[0-9a-f]{1,16}", text):
        return int(text, 16)
    return int(text) if re.fullmatch(_N, text) else otherwise
