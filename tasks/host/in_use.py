# SPDX-License-Identifier: Apache-2.0
"""Directories that a process works in, held for as long as it lives, so that `schedcp clean` lets them be.

A shared lock of the kernel's: it goes with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy_lake.errors import InfraError

LOCK = "in-use.lock"
OTHERWISE = "name another place in SCHEDCP_DATA_DIR and SCHEDCP_CACHE_DIR"
_held: dict[Path, int] = {}


def hold(directory: Path) -> None:
    """Hold the directory until this process ends; one that is not there, or not ours to write to, is left alone.

    It waits while `clean` is at work there, for the moment that this takes.
    """
    path = directory / LOCK
    if path in _held or not directory.is_dir():
        return
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return
        fcntl.flock(fd, fcntl.LOCK_SH)
        if _is_at(fd, path):
            _held[path] = fd
            return
        os.close(fd)  # removed with its directory while we waited


def claim(directory: Path) -> None:
    """Make the directory if it is not there, and hold it; InfraError, before any work, if nothing can be kept in it."""
    require_usable(directory, OTHERWISE)
    hold(directory)


def require_usable(directory: Path, otherwise: str) -> None:
    """Make the directory if it is not there; InfraError, which ends with `otherwise`, if nothing can be kept in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfraError(f"{directory}: {os.strerror(error.errno or 0)}; {otherwise}") from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise InfraError(f"{directory}: it cannot be written to; {otherwise}")


@contextmanager
def alone(directory: Path) -> Iterator[list[int] | None]:
    """None while nobody else holds the directory, who has to wait then; else the ids of the processes that do."""
    path = directory / LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield None
    except BlockingIOError:
        yield holders(fd)
    finally:
        os.close(fd)


def holders(fd: int) -> list[int]:
    """The processes that hold a lock on the open file, by proc(5); those of other PID namespaces are not seen."""
    inode = os.fstat(fd).st_ino
    found = set()
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.replace("->", "").split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode) and int(words[4]) > 0:
            found.add(int(words[4]))
    return sorted(found - {os.getpid()})


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False
