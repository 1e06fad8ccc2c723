# SPDX-License-Identifier: Apache-2.0
"""The end of a command by a signal: it clears away and says so, once, and no later than a limit."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
CLEARING_S, AGAIN_S = 10.0, 0.02
LastResort = Callable[[int], None]
_active: list[_Interrupt] = []  # at most one: a process has one handler for each signal


class _Interrupt:
    """The handlers of the signals while they are ours, and what the first one raised."""

    def __init__(self, last_resort: LastResort | None) -> None:
        self.last_resort = last_resort
        self.raised: BaseException | None = None
        kept = {number: signal.getsignal(number) for number in SIGNALS}
        self.before = {
            number: handler for number, handler in kept.items() if number != signal.SIGHUP or handler != signal.SIG_IGN
        }
        self.hook = sys.unraisablehook

    def install(self) -> None:
        for number in self.before:
            signal.signal(number, self.interrupt)
        sys.unraisablehook = self.unheard

    def restore(self) -> None:
        sys.unraisablehook = self.hook
        if self.raised is None or self.last_resort is None:  # else the process is ending, and nothing may disturb that
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        for other in self.before:
            signal.signal(other, signal.SIG_IGN)
        if self.raised is None:
            self.raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
            if self.last_resort is not None:
                within(CLEARING_S, lambda: self.last_resort and self.last_resort(128 + number))
        raise self.raised

    def unheard(self, ignored: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised in a destructor, or a weak reference's callback: interrupt again, a bit later."""
        if self.raised is None or ignored.exc_value is not self.raised:
            self.hook(ignored)
            return
        signal.signal(signal.SIGINT, self.interrupt)
        main = threading.get_ident()
        within(AGAIN_S, lambda: signal.pthread_kill(main, signal.SIGINT))


@contextmanager
def interruptible(last_resort: LastResort | None = None) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM, SIGHUP and SIGQUIT end what runs now, once; a second one must not disturb the clearing.

    asyncio would only mark its task as cancelled and let a guest run on to its end. SIGINT raises KeyboardInterrupt,
    the others SystemExit with 128 and their number. Clearing away that takes longer than CLEARING_S is cut short by
    `last_resort`, which is called with the exit status on a thread of its own. Inside another one it changes nothing.
    Where SIGHUP was ignored before (nohup), it stays so. For the main thread.
    """
    if _active:
        yield
        return
    ours = _Interrupt(last_resort)
    _active.append(ours)
    try:
        ours.install()
        yield
    except Exception as error:
        if ours.raised is not None:  # compiled code of Ray turns what a handler raises into a SystemError (2.60)
            raise ours.raised from error
        raise
    finally:
        _active.clear()
        ours.restore()


def within(limit_s: float, otherwise: Callable[[], object]) -> None:
    """Have `otherwise` called after so many seconds, if this process still runs then."""
    timer = threading.Timer(limit_s, otherwise)
    timer.daemon = True
    timer.start()
