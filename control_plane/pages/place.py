# SPDX-License-Identifier: Apache-2.0
"""The directory of a report: written beside its place, and put there whole, over one of ours or over none."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import read_outside
from policy_lake.show import is_utf8

MARK, FORMAT = "schedcp-report.json", "schedcp-report/1"
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_HERE = -100  # AT_FDCWD


@dataclass(slots=True)
class Book:
    """The pages of a report that is being written, each once."""

    directory: Path
    pages: int = 0
    size: int = 0

    def write(self, name: str, data: bytes) -> None:
        """Write one file, its directory too."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.pages += name.endswith(".html")
        self.size += len(data)


def check_place(directory: Path) -> None:
    """InputError where no report may be put: before any work, since what is there might be anybody's."""
    if not is_utf8(str(directory)):
        raise InputError("--html: the name is not UTF-8")
    if directory.is_symlink():
        raise InputError(f"--html {directory}: a symbolic link: name what it points to")
    if not os.path.lexists(directory):
        above = next(path for path in directory.absolute().parents if os.path.lexists(path))
        if not above.is_dir():
            raise InputError(f"--html {directory}: {above} is no directory")
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"--html {directory}: nothing can be written in {above}")
        return
    if not directory.is_dir():
        raise InputError(f"--html {directory}: there is a file of that name")
    if any(directory.iterdir()) and not _is_ours(directory):
        raise InputError(f"--html {directory}: it holds something else than a report of ours: name another directory")


@contextmanager
def writing(directory: Path) -> Iterator[Book]:
    """A book whose files are at `directory` once the `with` has ended well, and nowhere if it has not.

    InfraError for a full disk and the like. A reader meets the old report or the new one, where the file system can
    exchange two directories; elsewhere none for a moment.
    """
    directory = directory.absolute()
    part = directory.with_name(f".{directory.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(directory)
        part.mkdir()
        book = Book(part)
        yield book
        book.write(MARK, json.dumps({"format": FORMAT, "pages": book.pages}).encode() + b"\n")
        check_place(directory)  # again: it took a while
        _put(part, directory)
    except OSError as error:
        raise InfraError(f"{error.filename or directory}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_ours(directory: Path) -> bool:
    try:
        told = json.loads(read_outside(directory / MARK, 1 << 12))
    except (InputError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("format") == FORMAT


def _put(part: Path, directory: Path) -> None:
    """`part` in the place of `directory`; what was there is `part` then."""
    if not directory.exists():
        part.rename(directory)
        return
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    if rename(_HERE, os.fsencode(part), _HERE, os.fsencode(directory), _EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(directory))
    old = part.with_name(f"{part.name}.old.part")
    directory.rename(old)
    try:
        part.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove_left(directory: Path) -> None:
    """What reports that were killed have left beside the place."""
    left = re.compile(rf"\.{re.escape(directory.name)}\.([0-9]+)-[0-9a-f]{{8}}\.part")
    for path in directory.parent.iterdir():
        found = left.fullmatch(path.name)
        if found and path.is_dir() and not path.is_symlink() and not Path("/proc", found[1]).exists():
            with suppress(OSError):
                shutil.rmtree(path)
