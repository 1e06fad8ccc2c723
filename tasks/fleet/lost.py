# SPDX-License-Identifier: Apache-2.0
"""What a run cannot go on without, gone for good: the run is interrupted, and says why instead of "interrupted"."""

from __future__ import annotations

import signal
import threading

_reasons: list[str] = []


def lose(reason: str) -> None:
    """Interrupt the main thread, which is where a run is, as Ctrl-C would; from any other thread."""
    _reasons.append(reason)
    # To that thread: one that waits in a lock wakes for its own signals alone.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def lost() -> str:
    """Why the run that goes on was interrupted; empty if it was not, or by somebody else."""
    return _reasons[0] if _reasons else ""


def forget() -> None:
    """A new run begins."""
    _reasons.clear()
