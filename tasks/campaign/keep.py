# SPDX-License-Identifier: Apache-2.0
"""Records on their way into the lake, several at a time: a write costs a sync and a version of a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

MOST = 500
SHARE = 0.05  # of the time may go into writing: so runs of seconds are written as they end, and short ones together


class Keeper:
    """Collects records and writes them; what a kill costs is what came since the last write.

    `put` takes several at once. The end of its `with` writes the rest, whatever ended it.
    """

    def __init__(self, put: Callable[..., None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._put, self._clock = put, clock
        self._waiting: list[Any] = []
        self._next = -float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.flush()

    def add(self, *records: Any) -> None:
        """Take records, and write all that wait when it is time."""
        self._waiting += records
        if len(self._waiting) >= MOST or self._clock() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        began, records = self._clock(), self._waiting
        self._put(*records)
        self._waiting = []
        ended = self._clock()
        self._next = ended + (ended - began) * (1 / SHARE - 1)
