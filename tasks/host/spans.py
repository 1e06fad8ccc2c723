# SPDX-License-Identifier: Apache-2.0
"""Where a run's wall time goes: when guests ran, and how long each phase took from the start of the process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Span = tuple[float, float]  # start and end, in seconds since the epoch
Value = TypeVar("Value")


class Phases:
    """Seconds of wall time by phase; what is in no phase counts as `start` before the first, as `other` behind it."""

    def __init__(self, began: float) -> None:
        self.began = began
        self._seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the `with` to a phase; one that is entered again goes on."""
        start = time.time()
        self._seconds.setdefault("start", max(0.0, start - self.began))
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.time() - start

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return time.time() - self.began

    def seconds(self, guests: Iterable[Span]) -> dict[str, float]:
        """`total` until now, of it `vm` in guests and `overhead` outside, and each phase; the phases sum to `total`."""
        total, covered = time.time() - self.began, covered_s(guests)
        other = max(0.0, total - sum(self._seconds.values()))
        return {"total": total, "vm": covered, "overhead": max(0.0, total - covered), **self._seconds, "other": other}


def spanned(work: Callable[[], Value]) -> tuple[Value, Span]:
    """What `work` returns, and its span."""
    start = time.time()
    return work(), (start, time.time())


def covered_s(spans: Iterable[Span]) -> float:
    """The seconds that at least one span covers; guests side by side count once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def process_began() -> float:
    """When this process was started, in seconds since the epoch: the interpreter's own start counts, too (proc(5))."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(") ")[2].split()[19])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
