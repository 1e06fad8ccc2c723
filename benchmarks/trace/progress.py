# SPDX-License-Identifier: Apache-2.0
"""How long a recorded command would have taken if others had left it its CPUs: its makespan less their part.

Wherever tasks of the command are ready and others have CPUs that it could use, it goes forward at a fraction of its
pace: running / (running + kept from running). Time passes at that fraction; where nothing of the command is ready, it
passes in full, since what the command waits for then does not depend on CPUs. What others cost by caches, by a shared
core or by a host's hypervisor is not in it.
"""

from __future__ import annotations

from collections.abc import Collection

RUNNING, READY, ASLEEP = "running", "ready", "asleep"


class Progress:
    """Follows counts, not tasks: tell it the moment, then what changes."""

    def __init__(self, cpus: Collection[int]) -> None:
        self._cpus = set(cpus)
        self._counts = {RUNNING: 0, READY: 0, ASLEEP: 0}
        self._taken: set[int] = set()
        self._since_ns: int | None = None
        self.passed_ns = 0.0

    def advance(self, at_ns: int) -> None:
        """Time has come to `at_ns`; what it is at first is the start."""
        if self._since_ns is not None:
            running, ready = self._counts[RUNNING], self._counts[READY]
            kept = min(ready, len(self._taken))
            pace = running / (running + kept) if running + kept else 1.0
            self.passed_ns += pace * max(0, at_ns - self._since_ns)
        self._since_ns = at_ns

    def move(self, before: str, after: str) -> None:
        """A task of the command that was in one state is in another; `` is none."""
        for state, step in ((before, -1), (after, 1)):
            if state:
                self._counts[state] += step

    def occupy(self, cpu: int, by_others: bool) -> None:
        """Who has that CPU from now on; CPUs that the command may not use do not matter."""
        if by_others and cpu in self._cpus:
            self._taken.add(cpu)
        else:
            self._taken.discard(cpu)
