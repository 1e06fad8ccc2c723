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

LOCK = "in-use.lock"
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
