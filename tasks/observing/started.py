# SPDX-License-Identifier: Apache-2.0
"""A command that is to be observed from its first instruction on: made, held back, let go."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from policy_lake.errors import InputError
from tasks.observing.scope import descendants

_DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


class HeldCommand:
    """A process that waits to become the command; InputError where there is no such command.

    `quiet`: its output goes to stderr, since stdout is for a record alone; `silent`: it goes nowhere.
    """

    def __init__(self, words: Sequence[str], *, quiet: bool = False, silent: bool = False) -> None:
        program = shutil.which(words[0])
        if not program:
            raise InputError(f"{words[0]}: no such command")
        self.status: int | None = None
        given, environment = list(words), dict(os.environ)  # the user's own, as `record` hands it on
        held, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:  # nothing but system calls from here on: other threads may hold any lock
            try:
                os.close(self._go)
                if os.read(held, 1):
                    if silent:
                        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                    if quiet or silent:
                        os.dup2(2, 1)
                    for number in _DEFAULTS:
                        signal.signal(number, signal.SIG_DFL)
                    os.execve(program, given, environment)
            finally:
                os._exit(127)
        os.close(held)

    def let_go(self) -> None:
        os.write(self._go, b"g")
        os.close(self._go)
        self._go = -1

    def ended(self) -> bool:
        """Whether it has ended; `status` is then its exit status, negative for the signal that ended it.

        It stays in the table of processes, where its counters can still be read, until `end`.
        """
        if self.status is None:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                self.status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        return self.status is not None

    def end(self) -> None:
        """End it with its descendants if it has not ended: by SIGTERM, and if that does not do within 4 s, by SIGKILL.

        A command that ended by itself leaves what it started, as it would without us. It is reaped.
        """
        if self._go >= 0:
            os.close(self._go)  # it reads the end of the pipe, and ends
            self._go = -1
        all_of_it = set() if self.ended() else descendants((self.pid,))
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in all_of_it & descendants(tuple(all_of_it)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            self._wait(4.0)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < until:
            time.sleep(0.02)
