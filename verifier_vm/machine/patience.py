# SPDX-License-Identifier: Apache-2.0
"""How long a guest is waited for: until its deadline, and beyond it while its own time goes on.

A policy that switches a hundred thousand times a second makes a guest slow, not hung: ended by the wall clock alone it
would get no verdict.
"""

from __future__ import annotations

from collections.abc import Callable

MOST = 4.0  # times the deadline: its steps end by their own limits, so a guest that goes on comes to its end
WINDOW_S = 15.0
LEAST_S = 0.1  # of its own time in a window: slower, and its steps' limits would take hours


class Patience:
    """From `started` to `deadline`, both monotonic; `own_s` tells the guest's own time, None where it has none."""

    def __init__(self, started: float, deadline: float, own_s: Callable[[], float | None]) -> None:
        self._deadline = deadline
        self._last = started + MOST * (deadline - started)
        self._own_s = own_s
        self._seen = (started, own_s() or 0.0)

    def left(self, now: float) -> float:
        """Seconds to wait before it is to be asked again; 0 or less when the guest is to be ended."""
        own = self._own_s()
        if own is None:
            return self._deadline - now
        then, before = self._seen
        if now - then >= WINDOW_S:
            self._seen = (now, own)
            if own - before >= LEAST_S:
                self._deadline = max(self._deadline, min(now + 2 * WINDOW_S, self._last))
        return self._deadline - now
