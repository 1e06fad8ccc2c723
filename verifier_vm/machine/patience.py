# SPDX-License-Identifier: Apache-2.0
"""How long a guest is waited for: until its deadline, and beyond it while it is slow and not hung.

A policy that switches a hundred thousand times a second makes a guest slow: ended by the wall clock alone it would get
no verdict. It is slow while its kernel switches tasks and it has been silent for no longer, by its own time, than a
step may take. One that hangs switches nobody, or idles, and then its own time flies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

MOST = 4.0  # times the deadline: its steps end by their own limits, so a guest that goes on comes to its end
WINDOW_S = 15.0
LEAST = 1000  # switches in a window: a guest in which real-time threads spin makes some, too


class Look(NamedTuple):
    """What is seen of a guest: context switches, its own time in s, and how many lines it has said."""

    switches: int
    own_s: float
    lines: int


class Patience:
    """From `started` to `deadline`, both monotonic; `look` gives None where nothing is seen of the guest.

    `silent_s` is for how long of its own time a guest may say nothing.
    """

    def __init__(self, started: float, deadline: float, look: Callable[[], Look | None], *, silent_s: float) -> None:
        self._deadline = deadline
        self._last = started + MOST * (deadline - started)
        self._look, self._silent_s = look, silent_s
        self._then, self._before = started, look() or Look(0, 0.0, 0)
        self._spoke = self._before

    def left(self, now: float) -> float:
        """Seconds to wait before it is to be asked again; 0 or less when the guest is to be ended."""
        seen = self._look()
        if seen is None:
            return self._deadline - now
        if seen.lines != self._spoke.lines or not self._spoke.own_s:
            self._spoke = seen
        if now - self._then >= WINDOW_S:
            goes_on = seen.switches - self._before.switches >= LEAST
            if goes_on and seen.own_s - self._spoke.own_s <= self._silent_s:
                self._deadline = max(self._deadline, min(now + 2 * WINDOW_S, self._last))
            self._then, self._before = now, seen
        return self._deadline - now
