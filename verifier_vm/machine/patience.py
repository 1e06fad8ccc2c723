# SPDX-License-Identifier: Apache-2.0
"""How long a guest is waited for: until its deadline, and beyond it while its kernel goes on switching tasks.

A policy that switches a hundred thousand times a second makes a guest slow, not hung: ended by the wall clock alone it
would get no verdict. In a guest that hangs its own time may go on, but nobody is switched.
"""

from __future__ import annotations

from collections.abc import Callable

MOST = 4.0  # times the deadline: its steps end by their own limits, so a guest that goes on comes to its end
WINDOW_S = 15.0
LEAST = 10  # switches in a window: its init alone looks up twenty times a second of its own time


class Patience:
    """From `started` to `deadline`, both monotonic; `switches` counts the guest's context switches, None: unknown."""

    def __init__(self, started: float, deadline: float, switches: Callable[[], int | None]) -> None:
        self._deadline = deadline
        self._last = started + MOST * (deadline - started)
        self._switches = switches
        self._seen = (started, switches() or 0)

    def left(self, now: float) -> float:
        """Seconds to wait before it is to be asked again; 0 or less when the guest is to be ended."""
        count = self._switches()
        if count is None:
            return self._deadline - now
        then, before = self._seen
        if now - then >= WINDOW_S:
            self._seen = (now, count)
            if count - before >= LEAST:
                self._deadline = max(self._deadline, min(now + 2 * WINDOW_S, self._last))
        return self._deadline - now
