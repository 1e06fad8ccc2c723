# SPDX-License-Identifier: Apache-2.0
"""Standard output and standard error as a command line must take them: closed, full, or with nobody at the other end.

As well-behaved tools do: a reader that has gone (`| head -1`) ends the command quietly with 141, what the shell says of
one that SIGPIPE ended; a full disk, or no standard output at all, is one line and an exit status of failure. SIGPIPE
itself stays ignored, since we write to guests and servers, too.
"""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

from policy_lake.errors import InfraError

READER_GONE = 141


class StandardOutput(io.TextIOWrapper):
    """Standard output whose failure is one of ours: SystemExit when its reader has gone, InfraError otherwise."""

    def write(self, text: str) -> int:
        """As any text stream's."""
        try:
            return super().write(text)
        except OSError as error:
            _fail(error)

    def flush(self) -> None:
        """As any text stream's."""
        try:
            super().flush()
        except OSError as error:
            _fail(error)


class StandardError(io.TextIOWrapper):
    """Standard error that nobody may be there to read: then what is said is lost, and the work goes on."""

    def write(self, text: str) -> int:
        """As any text stream's."""
        try:
            return super().write(text)
        except OSError:
            _to_nowhere(2)
            return len(text)

    def flush(self) -> None:
        """As any text stream's."""
        try:
            super().flush()
        except OSError:
            _to_nowhere(2)


def guard_streams() -> None:
    """Put these in the place of Python's own; InfraError when there is no standard output."""
    if sys.stderr is None:
        _to_nowhere(2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for the life of the process, by its number
    if sys.stdout is None:
        _to_nowhere(1)  # or the next file that is opened takes its number
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        raise InfraError("standard output: it is closed")
    for name, kind in (("stdout", StandardOutput), ("stderr", StandardError)):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:  # a test may have put something else there
            encoding, errors, buffered = stream.encoding, stream.errors, stream.line_buffering
            made = kind(stream.detach(), encoding=encoding, errors=errors, line_buffering=buffered)
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)


def _fail(error: OSError) -> NoReturn:
    _to_nowhere(1)  # what is still in its buffer must not fail again at the very end
    if isinstance(error, BrokenPipeError):
        raise SystemExit(READER_GONE) from None
    raise InfraError(f"standard output: {error.strerror}") from None


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
