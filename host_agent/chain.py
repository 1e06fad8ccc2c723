# SPDX-License-Identifier: Apache-2.0
"""Files of JSON lines in a hash chain, each line written to the disk before anything follows from it.

`{"data":{…},"previous":"…","seq":N,"sha256":"…"}`: the digest is over all that stands before it in the line, which has
the digest of the line before. A last line without its end is what a crash left, and was promised to nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.files import fsync_directory, read_outside, write_all
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.dsse import canonical_json

NOTHING = "0" * 64  # what the first line names as the one before it
LONGEST_LINE = 64 << 10
LARGEST_FILE = 16 << 20


class Fault(StrEnum):
    """In which way a chain does not hold."""

    EDITED = "edited"  # a line's content is not what its own digest is of
    REPLACED = "replaced"  # a line was written anew with a right digest: the one after it names another
    REMOVED = "removed"  # lines are missing between two that are there, or before the first
    MOVED = "moved"  # a line is there, and not in its place
    CUT_OFF = "cut_off"  # it ends before a line that somebody saw: nobody else can notice that
    ANOTHER = "another"  # another log than the one that was kept, begun anew
    OTHER = "other"  # a file that cannot be read, or damage to what is kept beside the chain


class ChainError(SchedcpError):
    """A file that was changed, cut or damaged; the message names file and line. `line` is 0 where it is no line's."""

    exit_status = 3

    def __init__(self, message: str, fault: Fault = Fault.OTHER, line: int = 0) -> None:
        super().__init__(message)
        self.fault, self.line = fault, line


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain goes: its last line's number and digest; (0, NOTHING) for an empty one."""

    seq: int = 0
    sha256: str = NOTHING


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chain; `previous` is the digest of the one before it."""

    seq: int
    data: dict[str, Any]
    sha256: str
    previous: str = NOTHING


def head_of(lines: Sequence[Line], start: Head = Head()) -> Head:
    """The head after these lines, which follow `start`."""
    return Head(lines[-1].seq, lines[-1].sha256) if lines else start


def encoded(head: Head, data: dict[str, Any]) -> tuple[bytes, Head]:
    """The line that follows `head`, with its end, and the head after it; InputError if it is too long."""
    body = canonical_json({"data": data, "previous": head.sha256, "seq": head.seq + 1})
    digest = hashlib.sha256(body).hexdigest()
    line = body[:-1] + b',"sha256":"' + digest.encode() + b'"}\n'
    if len(line) > LONGEST_LINE:
        raise InputError(f"a line of {len(line)} bytes is longer than {LONGEST_LINE}")
    return line, Head(head.seq + 1, digest)


def read_chain(path: Path, start: Head | None = Head()) -> tuple[list[Line], int]:
    """All lines of the file, in order, and how many bytes they take; ChainError where the chain does not hold.

    What stands behind those bytes is a line that was never finished. No file is an empty chain. `start` is the head
    that the first line follows; None: as that line says.
    """
    if not os.path.lexists(path):
        return [], 0
    try:
        content = read_outside(path, LARGEST_FILE)
    except InputError as error:
        raise ChainError(str(error)) from None
    raw = content.split(b"\n")
    lines: list[Line] = []
    head = start
    for number, line in enumerate(raw[:-1], 1):
        said = _said(line, f"{path}:{number}", number)
        if head is not None and said != _after(head, said.data):
            raise _broken(said, head, raw[number:-1], f"{path}:{number}", number)
        lines.append(said)
        head = Head(said.seq, said.sha256)
    return lines, len(content) - len(raw[-1])


def _said(raw: bytes, where: str, number: int) -> Line:
    """The line as it tells of itself; ChainError unless its own digest is of what it says."""
    try:
        read = strict_object(raw, most=LONGEST_LINE)
        before, data = Head(read["seq"] - 1, read["previous"]), read["data"]
        expected, after = encoded(before, data)
    except (ValueError, KeyError, TypeError, InputError) as error:
        why = " ".join(str(error).split())[:120]
        raise ChainError(f"{where}: the line is damaged: {why}", Fault.EDITED, number) from None
    if raw + b"\n" != expected:
        raise ChainError(f"{where}: the line was edited: its digest is not of what it says", Fault.EDITED, number)
    return Line(after.seq, data, after.sha256, before.sha256)


def _after(head: Head, data: dict[str, Any]) -> Line:
    _, after = encoded(head, data)
    return Line(after.seq, data, after.sha256, head.sha256)


def _broken(said: Line, head: Head, later: list[bytes], where: str, number: int) -> ChainError:
    """What became of the lines between `head` and a line that is whole and does not follow it."""
    wanted = head.seq + 1
    if said.seq == wanted:
        words = f"{where}: entry {head.seq}, before it, was replaced by another after this one was written"
        return ChainError(words, Fault.REPLACED, number)
    if said.seq < wanted or any(f'"seq":{wanted},"sha256":'.encode() in line for line in later):
        return ChainError(f"{where}: entry {said.seq} was moved: here belongs entry {wanted}", Fault.MOVED, number)
    words = f"{where}: {said.seq - wanted} entries before it were removed, from entry {wanted} on"
    return ChainError(words, Fault.REMOVED, number)


class Chain:
    """A chain that is written to, by one process, from the end that `read_chain` found; `head` is that end's."""

    def __init__(self, path: Path, head: Head, size: int) -> None:
        self.path, self.size, self.head = path, size, head

    def append(self, data: dict[str, Any]) -> Line:
        """Adds a line, durably; InfraError, and a file as before, if the disk will not take it or it is too long."""
        content, after = encoded(self.head, data)
        if self.size + len(content) > LARGEST_FILE:
            raise InfraError(f"{self.path}: would grow beyond {LARGEST_FILE >> 20} MiB")
        try:
            self._write(content)
        except OSError as error:
            raise InfraError(f"{self.path}: {error.strerror}") from error
        line = Line(after.seq, data, after.sha256, self.head.sha256)
        self.size, self.head = self.size + len(content), after
        return line

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
