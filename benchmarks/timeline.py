# SPDX-License-Identifier: Apache-2.0
"""Who ran where, and who waited how long: what guest/timeline.c reported of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policy_lake.errors import InfraError
from policy_lake.limits import LONGEST_NAME, TIMELINE_CPUS, TRACE_US

PROGRAM = "timeline"
IDLE = 0
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Span:
    """A task on a CPU, from `start_us` to `end_us` since the first event of its run; `comm` is its name."""

    cpu: int
    pid: int
    comm: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A task that was runnable and not run; `served`: it ran at `end_us`, else the run was over first."""

    pid: int
    comm: str
    start_us: int
    end_us: int
    served: bool = True


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run: spans in order of their start, waits from runnable to running, and the number of events lost."""

    spans: tuple[Span, ...]
    waits: tuple[Wait, ...]
    wall_us: int
    lost: int

    @property
    def cpus(self) -> int:
        return 1 + max((span.cpu for span in self.spans), default=0)

    @property
    def waits_us(self) -> tuple[int, ...]:
        """How long each wait was that came to an end."""
        return tuple(wait.end_us - wait.start_us for wait in self.waits if wait.served)


def read_timeline(out: str, *, where: str) -> Timeline:
    """The timeline in a traced run's output. InfraError that names the run and the line for one that is not whole."""
    reader = _Reader()
    for number, line in enumerate(out.split("\n"), 1):  # a name may have what splitlines takes for a line's end
        fields = line.split(" ")
        if fields[0] not in ("C", "S", "W", "E"):
            continue  # the program's own output
        try:
            reader.take(fields, line)
        except (ValueError, IndexError) as error:
            raise InfraError(f"{where}: line {number} of the timeline cannot be read: {line[:80]!r}") from error
    if reader.end_us is None:
        raise InfraError(f"{where}: the timeline has no end")
    return reader.timeline(reader.end_us)


class _Reader:
    """Lines as they come: what runs on each CPU, and since when each waiting task is runnable."""

    def __init__(self) -> None:
        self.end_us: int | None = None
        self._lost = 0
        self._names: dict[int, str] = {}
        self._running: dict[int, tuple[int, int]] = {}  # CPU: pid, since
        self._runnable: dict[int, int] = {}  # pid: since
        self._spans: list[Span] = []
        self._waits: list[Wait] = []

    def take(self, fields: Sequence[str], line: str) -> None:
        if fields[0] == "C":
            self._names[int(fields[1])] = line.split(" ", 2)[2][:LONGEST_NAME]
        elif fields[0] == "W":
            self._runnable.setdefault(int(fields[2]), int(fields[1]))
        elif fields[0] == "S":
            self._switch(int(fields[1]), int(fields[2]), int(fields[3]), fields[4])
        else:
            self.end_us, self._lost = min(int(fields[1]), TRACE_US), int(fields[3])

    def _switch(self, at_us: int, cpu: int, pid: int, state: str) -> None:
        if not (0 <= cpu < TIMELINE_CPUS and 0 <= at_us <= TRACE_US):
            raise ValueError("no CPU and no moment of a guest")
        before, since = self._running.get(cpu, (IDLE, at_us))
        if before != IDLE:
            self._close(cpu, before, since, at_us)
            if state.startswith("R"):
                self._runnable[before] = at_us
        self._running[cpu] = (pid, at_us)
        if pid != IDLE and (runnable := self._runnable.pop(pid, None)) is not None:
            self._waits.append(Wait(pid, self._name(pid), runnable, at_us))

    def _close(self, cpu: int, pid: int, since: int, at_us: int) -> None:
        self._spans.append(Span(cpu, pid, self._name(pid), since, at_us))

    def _name(self, pid: int) -> str:
        return self._names.get(pid, str(pid))

    def timeline(self, end_us: int) -> Timeline:
        for cpu, (pid, since) in self._running.items():
            if pid != IDLE:
                self._close(cpu, pid, since, end_us)
        for pid, since in self._runnable.items():
            self._waits.append(Wait(pid, self._name(pid), since, end_us, served=False))
        spans = tuple(sorted(self._spans, key=lambda span: (span.start_us, span.cpu)))
        return Timeline(spans, tuple(self._waits), end_us, self._lost)


def busiest(timelines: Sequence[Timeline], most: int) -> list[str]:
    """The names that ran longest over all these runs, at most so many, the longest first; none below 1 % of all."""
    ran: dict[str, int] = {}
    for span in (span for timeline in timelines for span in timeline.spans):
        ran[span.comm] = ran.get(span.comm, 0) + span.end_us - span.start_us
    least = sum(ran.values()) / 100
    named = (comm for comm in ran if ran[comm] >= least)
    return sorted(named, key=lambda comm: (-ran[comm], comm))[:most]


def longest_waiting(timeline: Timeline, most: int) -> list[int]:
    """The ids of the tasks that waited longest at one time, at most so many, the longest first."""
    longest: dict[int, int] = {}
    for wait in timeline.waits:
        longest[wait.pid] = max(longest.get(wait.pid, 0), wait.end_us - wait.start_us)
    return sorted(longest, key=lambda pid: (-longest[pid], pid))[:most]
