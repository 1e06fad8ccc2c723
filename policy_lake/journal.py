# SPDX-License-Identifier: Apache-2.0
"""The append-only journal: the source of truth from which the lake's tables can always be made again.

One JSON object a line: `{"sha256":"…","kind":"…","data":{…}}`, the digest taken over all that follows it in the line.
A line counts once it and its newline are fsynced; only then is a write acknowledged.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError
from policy_lake.files import fsync_directory, write_all
from policy_lake.limits import LAKE_LINE_BYTES
from policy_lake.model import to_json
from policy_lake.records import KINDS, LakeError, columns

_HEAD = b'{"sha256":"'
_BODY = len(_HEAD) + 64 + len(b'",')


@dataclass(frozen=True, slots=True)
class Line:
    """One journal line: `text` is the record's JSON, `end` the byte offset after the line (0 before it is placed)."""

    kind: str
    text: str
    sha256: str
    end: int = 0

    @property
    def data(self) -> dict[str, Any]:
        """The record as data; ValueError where there is none."""
        return read_data(self.text)

    @property
    def raw(self) -> bytes:
        """The line as it stands in the file, newline included."""
        return _HEAD + self.sha256.encode() + b'",' + _body(self.kind, self.text) + b"\n"


def read_data(text: str) -> dict[str, Any]:
    """A record's JSON as data; ValueError for what the lake never writes: no object, NaN, infinities."""
    try:
        data = json.loads(text, parse_constant=_no_number, parse_float=_number)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(data, dict):
        raise ValueError("no object")
    return data


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON's")


def _number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _body(kind: str, text: str) -> bytes:
    return f'"kind":"{kind}","data":{text}}}'.encode()


def digest(kind: str, text: str) -> str:
    """The checksum of a record's JSON under its kind, in hex."""
    return hashlib.sha256(_body(kind, text)).hexdigest()


def encode(record: object) -> Line:
    """A record as a journal line; InputError if the lake keeps no such thing or JSON cannot carry it."""
    kind = next((name for name, type_ in KINDS.items() if type(record) is type_), None)
    if kind is None:
        raise InputError(f"the lake keeps no {type(record).__name__}, only {', '.join(KINDS)}")
    try:
        data = to_json(record)
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        sha256 = digest(kind, text)
    except ValueError as error:  # NaN, lone surrogates, and pydantic's serialization errors
        raise InputError(f"{kind}: {getattr(record, 'id', '')!r} cannot be stored as JSON: {error}") from error
    if len(text) > LAKE_LINE_BYTES // 4:  # characters, of up to 4 bytes
        raise InputError(f"{kind}: {getattr(record, 'id', '')!r} has {len(text)} characters, more than a lake keeps")
    if not columns(kind, data)["id"]:
        raise InputError(f"{kind}: a record without an id cannot be stored")
    return Line(kind, text, sha256)


def _decode(raw: bytes, end: int) -> Line | None:
    """The line these bytes (no newline) hold, or None if they are damaged."""
    body = raw[_BODY:]
    sha256 = hashlib.sha256(body).hexdigest()
    if raw[:_BODY] != _HEAD + sha256.encode() + b'",':
        return None
    try:
        kind = body.split(b'"', 4)[3].decode()
        return Line(kind, body[len(_body(kind, "")) - 1 : -1].decode(), sha256, end)
    except (IndexError, ValueError):  # whoever can add a checksum can add it to anything
        return None


class Journal:
    """A journal file. `append` and `mend` belong under `files.locked`; reading needs no lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        """Bytes in the file, a torn tail included; 0 when there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0
        self._require_plain(status.st_mode)
        return status.st_size

    def append(self, lines: Sequence[Line]) -> None:
        """Adds lines and fsyncs them; InfraError (and a journal as before) if the disk will not take them."""
        new = not self._is_there()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            before = os.fstat(fd).st_size
            try:
                write_all(fd, b"".join(line.raw for line in lines))
                os.fsync(fd)
            except OSError as error:
                os.ftruncate(fd, before)
                raise InfraError(f"{self.path}: {error.strerror}; the record was not stored") from error
        finally:
            os.close(fd)
        if new:
            fsync_directory(self.path.parent)

    def mend(self) -> str:
        """Deals with a last line that has no newline (a write cut short), and says in words what it did, if anything.

        Such a line was never acknowledged: it is dropped, unless only its newline is missing.
        """
        if not self._is_there():
            return ""
        with self.path.open("r+b") as file:
            content = file.read() if not _ends_with_newline(file) else b""
            start = content.rfind(b"\n") + 1
            torn = content[start:]
            if not torn:
                return ""
            complete = _decode(torn, 0) is not None
            if complete:
                file.write(b"\n")
            else:
                file.truncate(start)
            file.flush()
            os.fsync(file.fileno())
        did = "its missing newline was added" if complete else f"its {len(torn)} bytes were dropped"
        return f"{self.path}:{_line_number(content)}: the last line was torn by a crash; {did}"

    def read(self, start: int = 0) -> Iterator[Line]:
        """The lines from byte `start` on, a torn last one left out; LakeError naming file:line for a damaged one."""
        if not self._is_there():
            return
        with self.path.open("rb") as file:
            file.seek(start)
            while raw := file.readline(LAKE_LINE_BYTES + 1):
                if len(raw) > LAKE_LINE_BYTES:
                    raise self._damaged(start, None)
                if not raw.endswith(b"\n"):
                    return
                start += len(raw)
                line = _decode(raw[:-1], start)
                if line is None or line.kind not in KINDS:
                    raise self._damaged(start - len(raw), line)
                yield line

    def _is_there(self) -> bool:
        try:
            self._require_plain(self.path.stat().st_mode)
        except FileNotFoundError:
            return False
        return True

    def _require_plain(self, mode: int) -> None:
        if not stat.S_ISREG(mode):  # a named pipe in its place would hold a reader for ever
            raise LakeError(f"{self.path}: no plain file")

    def _damaged(self, offset: int, line: Line | None) -> LakeError:
        with self.path.open("rb") as file:
            number = 1
            while offset > 0 and (piece := file.read(min(offset, 1 << 20))):
                number, offset = number + piece.count(b"\n"), offset - len(piece)
        what = "is damaged (checksum)" if line is None else f"holds the unknown kind {line.kind[:40]!r}"
        return LakeError(f"{self.path}:{number}: the line {what}; restore the file from a copy, or delete the line")


def _line_number(before: bytes) -> int:
    return before.count(b"\n") + 1


def _ends_with_newline(file: Any) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    last: bytes = file.read(1)
    file.seek(0)
    return last == b"\n"
