# SPDX-License-Identifier: Apache-2.0
"""Files of the token machinery: read with a bound, and private where they must be."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError

SIZE_LIMIT = 1 << 20
LOCK = "lock"
OURS = {LOCK, "signing.key", "signing.pub", "host_state.json"}


def read_bounded(path: Path, *, limit: int = SIZE_LIMIT) -> bytes:
    """The content of a plain file of at most `limit` bytes; TokenError that names it for anything else."""
    try:
        return read_outside(path, limit)
    except InputError as error:
        raise TokenError(str(error), Code.UNREADABLE) from error


def require_private(path: Path, status: os.stat_result) -> None:
    """KeyFileError unless only this process's user may use the file or directory."""
    if status.st_uid != os.geteuid():
        raise KeyFileError(f"{path}: owned by user {status.st_uid}, not by the user who signs ({os.geteuid()})")
    if loose := stat.S_IMODE(status.st_mode) & 0o077:
        exposed = f"{path}: others may use it (mode bits {loose:03o})"
        if not stat.S_ISDIR(status.st_mode):
            raise KeyFileError(f"{exposed}: `chmod 600 {path}`")
        # A directory such as /etc, named by mistake, is not to be closed to all others on our advice.
        entries = {entry.name for entry in path.iterdir()} if os.access(path, os.R_OK) else set()
        if not entries or OURS & entries:
            raise KeyFileError(f"{exposed}: `chmod 700 {path}`")
        raise KeyFileError(f"{exposed}, and it holds other things: name a directory of its own")


def require_trusted(path: Path) -> None:
    """TokenError if the file or directory is a link, or another than root and this process's user may write to it."""
    try:
        status = path.lstat()
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}", Code.UNREADABLE) from error
    if stat.S_ISLNK(status.st_mode):
        raise TokenError(f"{path}: a symbolic link: who may change what it leads to is not known", Code.OPEN_STORE)
    if status.st_uid not in (0, os.geteuid()):
        raise TokenError(f"{path}: owned by user {status.st_uid}, who could change it", Code.OPEN_STORE)
    if loose := stat.S_IMODE(status.st_mode) & 0o022:
        raise TokenError(
            f"{path}: others may write to it (mode bits {loose:03o}): `chmod go-w {path}`", Code.OPEN_STORE
        )


@contextmanager
def private_directory(directory: Path) -> Iterator[None]:
    """Makes a directory that only we may enter, unless it is there, and keeps all others of us out meanwhile."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private(directory, directory.stat())
        fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyFileError(f"{error.filename or directory}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
