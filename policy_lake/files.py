# SPDX-License-Identifier: Apache-2.0
"""The lake's dealings with the file system: the writers' lock, durable writes, and the note on the tables' state."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from policy_lake.model import InfraError


@dataclass(frozen=True, slots=True)
class State:
    """What the tables hold: `offset` is how far into the journal (bytes), `rows` how many rows each has at least.

    `kinds` are the tables that there are; those of another version of schedcp are made anew.

    Tables are trusted only within the boot that wrote them: LanceDB never fsyncs, and so a power loss may undo some.
    """

    generation: str
    offset: int
    boot: str
    embedder: str
    dimensions: int
    rows: dict[str, int] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State | None:
        """The state in this file; None if there is none, or one that a crash left unreadable."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def store(self, path: Path) -> None:
        """Replaces the file in one step. Not fsynced: after a power loss another boot distrusts it anyway."""
        new = path.with_suffix(".new")
        try:
            new.write_text(json.dumps(asdict(self)))
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise


def boot_id() -> str:
    """A name for this boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_all(fd: int, content: bytes) -> None:
    """Writes all of `content`, however little the kernel takes at a time."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def fsync_directory(path: Path) -> None:
    """Makes the names in a directory survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, *, timeout_s: float = 120.0) -> Iterator[None]:
    """Holds the lock file at `path` against every other process and thread; InfraError after `timeout_s`.

    The kernel drops the lock with the process, so that a killed writer never blocks the next.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InfraError(f"{path}: another process has held the lock for {timeout_s:.0f} s") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)
