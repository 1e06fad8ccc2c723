# SPDX-License-Identifier: Apache-2.0
"""Each task's own schedstat: CPU time, waiting for a CPU, turns. Read again and again, since tasks come and go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comm import comm_text
from policy_lake.observed import CommandLoad, TaskLoad

MOST_TASKS = 8192
MOST_COMMANDS = 12


@dataclass(slots=True)
class _Seen:
    """One task: what it had when it was first and last read (run ns, wait ns, turns)."""

    name: str
    first: tuple[int, int, int]
    last: tuple[int, int, int]


class TaskStats:
    """Adds up what the tasks of processes did from its first look on."""

    def __init__(self, proc: Path = Path("/proc"), most: int = MOST_TASKS) -> None:
        self._proc, self._most = proc, most
        self._seen: dict[int, _Seen] = {}
        self._looked = False
        self.unread = 0
        self.available = True

    def look(self, processes: Iterable[int]) -> None:
        """Read the tasks of these processes. One that was not there at the first look counts from its beginning.

        What a task did after the last look before its end is in no sum: probes see that, too.
        """
        unread = 0
        for process in sorted(processes):
            for task in self._tasks(process):
                if task not in self._seen and len(self._seen) >= self._most:
                    unread += 1
                    continue
                self._read(process, task)
        self.unread = max(self.unread, unread)
        self._looked = True

    def load(self) -> TaskLoad | None:
        """Sums from the first look to the last; None where the kernel keeps no such figures (CONFIG_SCHED_INFO)."""
        if not self.available:
            return None
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for seen in self._seen.values():
            known = sums[seen.name]
            known[0] += 1
            for place, (then, now) in enumerate(zip(seen.first, seen.last, strict=True), 1):
                known[place] += max(0, now - then)
        commands = [
            CommandLoad(name, tasks, run / 1e9, wait / 1e9, turns) for name, (tasks, run, wait, turns) in sums.items()
        ]
        commands.sort(key=lambda command: (-command.run_s, command.name))
        return TaskLoad(
            len(self._seen), sum(c.run_s for c in commands), sum(c.wait_s for c in commands),
            sum(c.turns for c in commands), self.unread, tuple(commands[:MOST_COMMANDS]),
        )  # fmt: skip

    def _tasks(self, process: int) -> list[int]:
        with suppress(OSError):
            return [int(place.name) for place in (self._proc / str(process) / "task").iterdir()]
        return []

    def _read(self, process: int, task: int) -> None:
        at = self._proc / str(process) / "task" / str(task)
        try:
            run, wait, turns = (int(word) for word in (at / "schedstat").read_bytes().split())
            name = comm_text((at / "comm").read_bytes().removesuffix(b"\n"))
        except FileNotFoundError:
            self.available = self.available and not (at / "comm").exists()
            return
        except (OSError, ValueError):  # it has ended meanwhile
            return
        now = (run, wait, turns)
        seen = self._seen.get(task)
        if seen is None or run < seen.last[0]:  # a task of that id before it has ended
            self._seen[task] = _Seen(name, (0, 0, 0) if self._looked else now, now)
        else:
            seen.last, seen.name = now, name
