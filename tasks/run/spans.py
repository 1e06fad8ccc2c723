# SPDX-License-Identifier: Apache-2.0
"""When guests ran: spans of wall time, and how long at least one of them lasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

Span = tuple[float, float]  # start and end, in seconds since the epoch
Value = TypeVar("Value")


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
