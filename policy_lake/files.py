# SPDX-License-Identifier: Apache-2.0
"""Files written in one step, the lock between writers, and files from outside: a leaf that every folder may import."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from policy_lake.errors import InfraError, InputError

PARTS = ".*.part"  # glob of what a killed writer leaves: nobody reads it, and whoever holds a lock may remove it
SCRATCH = "schedcp-"  # of a name below /tmp; then its kind, and the id of the process that it is of
Content = bytes | Iterable[bytes]


def atomic_write(path: Path, data: Content, *, durable: bool = False, mode: int | None = None) -> None:
    """Puts `data` at `path` in one step, its directory too; a reader meets the old file or the new one.

    `data` may come in pieces. `durable`: it survives a power loss (file and name are fsynced). `mode`: the file's
    permissions, whatever the umask; without it, what the umask leaves of 0666. InfraError names the file and the reason
    (a full disk, no permission, a file in a directory's place), and the old file stays. InputError where no plain file
    is: a device, a named pipe, a symbolic link.
    """
    atomic_write_together({path: data}, durable=durable, mode=mode)


def atomic_write_together(contents: Mapping[Path, Content], *, durable: bool = False, mode: int | None = None) -> None:
    """`atomic_write` for files that belong together: none is replaced before all have been written.

    A crash between two replacements leaves the first new and the second old.
    """
    parts: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _require_plain(path)
            parts[path] = _part_of(path)
            _write_part(parts[path], data, durable=durable, mode=mode)
        for path, part in parts.items():
            part.replace(path)
            if durable:
                fsync_directory(path.parent)
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def atomic_create(path: Path, data: bytes, *, mode: int | None = None) -> bool:
    """Puts `data` at `path`, durably, unless a file is there; whether it did. Of two writers one does. InfraError."""
    part = _part_of(path)
    try:
        _write_part(part, data, durable=True, mode=mode)
        os.link(part, path)
        fsync_directory(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return True


def check_writable(path: Path) -> None:
    """InputError, before any work, where `atomic_write` could put no file: it is tried with an empty one beside it."""
    try:
        _require_plain(path)
        if path.is_dir():
            raise InputError(f"{path}: cannot be written: it is a directory")
        part = _part_of(path)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        part.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def read_outside(path: Path | str, most: int) -> bytes:
    """The content of a plain file, of at most `most` bytes, that anybody may have written; InputError that names it."""
    try:
        # Without O_NONBLOCK a named pipe in the file's place would hold us for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                what = "Is a directory" if stat.S_ISDIR(status.st_mode) else "no plain file"
                raise InputError(f"{path}: cannot be read: {what}")
            pieces, left = [], most + 1 if status.st_size <= most else 0
            # In one piece where it can be, since this may be a kernel of a gigabyte: joined, two would take twice that.
            while left and (piece := os.read(fd, min(left, max(1 << 16, status.st_size + 1)))):
                pieces.append(piece)
                left -= len(piece)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not left:
        raise InputError(f"{path}: larger than {f'{most >> 20} MiB' if most >= 1 << 20 else f'{most >> 10} KiB'}")
    return b"".join(pieces)


def write_all(fd: int, content: bytes) -> None:
    """Writes all of `content`, however little the kernel takes at a time."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def fsync_directory(path: Path) -> None:
    """Makes the names in a directory survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def scratch(kind: str) -> tempfile.TemporaryDirectory[str]:
    """A temporary directory for one kind of work, with this process's id in its name.

    By that `schedcp clean` knows it when the process was killed.
    """
    return tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{kind}-{os.getpid()}-")


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


def beyond(paths: Iterable[Path], *, room: int, least_age_s: float = 86_400.0) -> list[Path]:
    """Those last changed longest ago that are too much for `room` bytes on disk, files or whole directories.

    What was changed within `least_age_s` counts and is none of them: a live process may be about to open it.
    """
    found: list[tuple[float, int, Path]] = []
    for path in paths:
        with contextlib.suppress(OSError):  # removed meanwhile by another process
            parts = path.rglob("*") if path.is_dir() else (path,)
            found.append((path.stat().st_mtime, sum(part.stat().st_blocks * 512 for part in parts), path))
    left, gone = room, []
    for mtime, size, path in sorted(found, reverse=True):
        left -= size
        if left < 0 and time.time() - mtime >= least_age_s:
            gone.append(path)
    return gone


def _require_plain(path: Path) -> None:
    """InputError where another thing than a plain file is, or no name; OSError where nothing can be looked up.

    A rename puts a file in the place of a device and of a link, too. A link is not followed: who made it in a directory
    that all may write to would choose what we write over.
    """
    if not path.name:
        raise InputError(f"'{path}': cannot be written: it names no file")
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(kind):
        raise InputError(f"{path}: cannot be written: a symbolic link, not a plain file: name what it points to")
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # a rename leaves a directory, and says so
        raise InputError(f"{path}: cannot be written: not a plain file")


def _part_of(path: Path) -> Path:
    # Beside the file, since a rename works within one file system only; its name leaves room below the 255 bytes.
    name = os.fsdecode(os.fsencode(path.name)[:150])
    return path.with_name(f".{name}.{secrets.token_hex(6)}.part")


def _write_part(part: Path, data: Content, *, durable: bool, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(part, flags, 0o666 if mode is None else mode)
    try:
        for piece in (data,) if isinstance(data, bytes) else data:
            write_all(fd, piece)
        if mode is not None:
            os.fchmod(fd, mode)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
