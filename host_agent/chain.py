# SPDX-License-Identifier: Apache-2.0
"""Files of JSON lines in a hash chain, each line written to the disk before anything follows from it.

`{"data":{…},"previous":"…","seq":N,"sha256":"…"}`: the digest is over all that stands before it in the line, which has
the digest of the line before. A last line without its end is what a crash left, and was promised to nobody.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.files import fsync_directory, read_outside, write_all
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.dsse import canonical_json

NOTHING = "0" * 64  # what the first line names as the one before it
LONGEST_LINE = 64 << 10
LARGEST_FILE = 16 << 20


class ChainError(SchedcpError):
    """A file that was changed, cut or damaged; the message names file and line."""

    exit_status = 3


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain goes: its last line's number and digest; (0, NOTHING) for an empty one."""

    seq: int = 0
    sha256: str = NOTHING


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chain."""

    seq: int
    data: dict[str, Any]
    sha256: str


def encoded(head: Head, data: dict[str, Any]) -> tuple[bytes, Head]:
    """The line that follows `head`, with its end, and the head after it; InputError if it is too long."""
    body = canonical_json({"data": data, "previous": head.sha256, "seq": head.seq + 1})
    digest = hashlib.sha256(body).hexdigest()
    line = body[:-1] + b',"sha256":"' + digest.encode() + b'"}\n'
    if len(line) > LONGEST_LINE:
        raise InputError(f"a line of {len(line)} bytes is longer than {LONGEST_LINE}")
    return line, Head(head.seq + 1, digest)


def read_chain(path: Path) -> tuple[list[Line], int]:
    """All lines of the file, in order, and how many bytes they take; ChainError where the chain does not hold.

    What stands behind those bytes is a line that was never finished. No file is an empty chain.
    """
    if not os.path.lexists(path):
        return [], 0
    try:
        content = read_outside(path, LARGEST_FILE)
    except InputError as error:
        raise ChainError(str(error)) from None
    lines: list[Line] = []
    head, at = Head(), 0
    while end := content.find(b"\n", at) + 1:
        lines.append(_decoded(content[at:end], head, f"{path}:{head.seq + 1}"))
        head, at = Head(lines[-1].seq, lines[-1].sha256), end
    return lines, at


def _decoded(raw: bytes, head: Head, where: str) -> Line:
    try:
        data = strict_object(raw, most=LONGEST_LINE)["data"]
        expected, after = encoded(head, data)
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise ChainError(f"{where}: the line is damaged: {' '.join(str(error).split())[:120]}") from None
    if raw != expected:
        raise ChainError(f"{where}: the line does not follow the one before it: one was changed, removed or moved")
    return Line(after.seq, data, after.sha256)


class Chain:
    """A chain that is written to, by one process, from the end that `read_chain` found."""

    def __init__(self, path: Path, lines: list[Line], size: int) -> None:
        self.path, self.size = path, size
        self.head = Head(lines[-1].seq, lines[-1].sha256) if lines else Head()

    def append(self, data: dict[str, Any]) -> Line:
        """Adds a line, durably; InfraError, and a file as before, if the disk will not take it or it is too long."""
        content, after = encoded(self.head, data)
        if self.size + len(content) > LARGEST_FILE:
            raise InfraError(f"{self.path}: would grow beyond {LARGEST_FILE >> 20} MiB")
        try:
            self._write(content)
        except OSError as error:
            raise InfraError(f"{self.path}: {error.strerror}") from error
        self.size, self.head = self.size + len(content), after
        return Line(after.seq, data, after.sha256)

    def _write(self, content: bytes) -> None:
        new = not self.path.exists()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, self.size)  # drops what a crash, or a disk that filled up, left of a line
            os.lseek(fd, self.size, os.SEEK_SET)
            try:
                write_all(fd, content)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, self.size)
                raise
        finally:
            os.close(fd)
        if new:
            fsync_directory(self.path.parent)
