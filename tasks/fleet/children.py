# SPDX-License-Identifier: Apache-2.0
"""How Ray's processes are started beside threads that are at work: executed at once, with no Python in between.

Ray 2.60 hands `subprocess` a function to call between fork and exec. That runs Python, and every hook that a library
has registered, in the copy of a process whose other threads (LanceDB's, at work on the observation) are gone: at best
a warning of LanceDB's on our stderr, at worst a lock that nobody holds any more. What the function does can be had
without it: a blocked signal is inherited, and `setpriv` asks the kernel for the child's end with its parent's.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# util-linux, of which the confined compiler needs it already; it executes the command, so that the id stays the same.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
REAP_S = 5.0  # for a process that was killed already
_started: set[PlainPopen] = set()


class PlainPopen(subprocess.Popen[bytes]):
    """`subprocess.Popen` without a `preexec_fn`: the child dies with its parent thread, and SIGINT is blocked."""

    def __init__(self, command: Sequence[str], *, preexec_fn: Any = None, **more: Any) -> None:
        if preexec_fn is None:
            super().__init__(command, **more)
        else:
            with _blocked(signal.SIGINT):
                super().__init__([*WITH_PARENT, *command], **more)
        _started.add(self)


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """Signals are blocked by thread: ours is not the one that handles any."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def reap(killed: Collection[int]) -> None:
    """Wait for those of our children that were killed: a start of Ray's that fails forgets what it has started."""
    for process in list(_started):
        if process.pid in killed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(REAP_S)
        if process.poll() is not None:
            _started.discard(process)


def start_plainly() -> None:
    """From now on this process starts Ray's processes so."""
    from ray._private import services

    services.ConsolePopen = PlainPopen
