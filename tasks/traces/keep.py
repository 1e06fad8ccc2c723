# SPDX-License-Identifier: Apache-2.0
"""A recording's last step: its trace written where it was asked for, or kept elsewhere when there is no room."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from pathlib import Path

from benchmarks.trace.file import trace_bytes
from benchmarks.trace.tasks import Trace
from policy_lake.errors import InfraError, SchedcpError
from policy_lake.files import SCRATCH, atomic_write, write_all

# Not as the scratch of a process is named: `schedcp clean` removes that of processes that are gone.
KEPT = f"{SCRATCH}recording_"
ELSEWHERE = ("/var/tmp", "/dev/shm")  # beside the usual place, which may be the full one


def write_or_keep(trace: Trace, path: Path) -> None:
    """`write_trace` for what cannot be recorded again at no cost.

    InfraError when it cannot be written at `path`, where nothing is changed then: it names the copy that was kept, and
    the command that takes it on. InputError for a trace that is too large to be read.
    """
    data = trace_bytes(trace, path)
    try:
        atomic_write(path, data)
    except SchedcpError as error:
        kept = _kept(data)
        if kept is None:
            raise InfraError(f"{error}; nor was there room for the recording elsewhere: it is lost") from error
        move = shlex.join(["mv", "--", str(kept), str(path.absolute())])
        raise InfraError(f"{error}; the recording is kept: once it can be written there, run `{move}`") from error


def _kept(data: bytes) -> Path | None:
    """Where the bytes were kept, in a file that is ours alone; None if no place took them."""
    for place in dict.fromkeys((tempfile.gettempdir(), *ELSEWHERE)):
        with contextlib.suppress(OSError):
            fd, name = tempfile.mkstemp(prefix=KEPT, suffix=".parquet", dir=place)
            try:
                write_all(fd, data)
                os.fsync(fd)
                return Path(name)
            except OSError:
                Path(name).unlink()
            finally:
                os.close(fd)
    return None
