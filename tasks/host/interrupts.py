# SPDX-License-Identifier: Apache-2.0
"""The end of a command by a signal: it clears away and says so, once, and no later than a limit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLEARING_S = 10.0
LastResort = Callable[[int], None]
_active = False


@contextmanager
def interruptible(last_resort: LastResort | None = None) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end what runs now, once; a second one must not disturb the clearing away.

    asyncio would only mark its task as cancelled and let a guest run on to its end. SIGINT raises KeyboardInterrupt,
    the others SystemExit with 128 and their number. Clearing away that takes longer than CLEARING_S is cut short by
    `last_resort`, which is called with the exit status on a thread of its own. Inside another one it changes nothing.
    Where SIGHUP was ignored before (nohup), it stays so. For the main thread.
    """
    global _active  # noqa: PLW0603 - a process has one handler for each signal
    if _active:
        yield
        return
    interrupts: list[BaseException] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        interrupts.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))
        if last_resort is not None:
            within(CLEARING_S, lambda: last_resort(128 + number))
        raise interrupts[0]

    kept = {number: signal.getsignal(number) for number in SIGNALS}
    before = {
        number: handler for number, handler in kept.items() if number != signal.SIGHUP or handler != signal.SIG_IGN
    }
    _active = True
    try:
        for number in before:
            signal.signal(number, interrupt)
        yield
    except Exception as error:
        if interrupts:  # compiled code of Ray turns what a signal handler raises into a SystemError (2.60)
            raise interrupts[0] from error
        raise
    finally:
        _active = False
        if not interrupts or last_resort is None:  # else the process is ending, and nothing may disturb that
            for number, handler in before.items():
                signal.signal(number, handler)


def within(limit_s: float, otherwise: Callable[[], None]) -> None:
    """Have `otherwise` called after so many seconds, if this process still runs then."""
    timer = threading.Timer(limit_s, otherwise)
    timer.daemon = True
    timer.start()
