# SPDX-License-Identifier: Apache-2.0
"""What a probe takes, measured now and then: to measure it takes about half as much again as the probe does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tasks.observing import kernel_maps
from tasks.observing.needs import stats_counted

WINDOW_S, REST_S = 0.3, 2.7  # measured, and not
DECIDES_S = 1.0  # a share over less says more of one burst than of the load


@dataclass(slots=True)
class _Window:
    """Since when, and what had been spent by then: ns and runs."""

    at: float
    ns: int
    runs: int


class CostMeter:
    """Asked often, by a clock in s. `ns` and `runs` are sums over the `seconds` in which it measured."""

    def __init__(self, program_fds: Sequence[int], *, cpus: int, most_share: float, now: float) -> None:
        self._fds, self._cpus, self._most = program_fds, cpus, most_share
        self.ns, self.runs, self.seconds = 0, 0, 0.0
        self._counting = ExitStack()
        self._before_left_out = self._spent()[2]
        self._next = 0.0
        self._window: _Window | None = self._open(now)

    def too_much(self, now: float) -> bool:
        """Whether a second's share of all CPUs was more than it may be."""
        if self._window is None:
            if now >= self._next:
                self._window = self._open(now)
            return False
        passed = now - self._window.at
        share = (self._spent()[0] - self._window.ns) / 1e9 / (max(passed, 1e-9) * self._cpus)
        if passed < WINDOW_S or (share > self._most and passed < DECIDES_S):
            return False
        self.stop(now)
        self._next = now + REST_S
        return share > self._most

    def stop(self, now: float) -> None:
        """Measure no more; may be called again."""
        if self._window is not None:
            ns, runs, _ = self._spent()
            self.ns += ns - self._window.ns
            self.runs += runs - self._window.runs
            self.seconds += now - self._window.at
            self._window = None
        self._counting.close()

    @property
    def left_out(self) -> int:
        """How often the kernel left a program out; it counts that always."""
        return self._spent()[2] - self._before_left_out

    @property
    def share(self) -> float:
        """Of all CPUs, while it was measured."""
        return self.ns / 1e9 / (self.seconds * self._cpus) if self.seconds else 0.0

    def _open(self, now: float) -> _Window:
        self._counting.enter_context(stats_counted())
        ns, runs, _ = self._spent()
        return _Window(now, ns, runs)

    def _spent(self) -> tuple[int, int, int]:
        """ns, runs and times left out, of all programs."""
        times = [kernel_maps.run_time(fd) for fd in self._fds]
        return sum(time.ns for time in times), sum(time.runs for time in times), sum(time.left_out for time in times)
