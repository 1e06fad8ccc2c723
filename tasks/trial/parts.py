# SPDX-License-Identifier: Apache-2.0
"""What a policy is built from: a source or a ready object, and others that are linked with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InputError

SOURCE, OBJECT = [".bpf", ".c"], [".bpf", ".o"]
SOURCE_LIMIT = 4 << 20
OBJECT_LIMIT = 16 << 20  # what the object stage looks at


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a policy by its name for people: a `source` whose headers may lie in `directory`, or an object."""

    name: str
    source: str = ""
    directory: Path | None = None
    data: bytes = b""


def read_part(path: Path) -> Part:
    """A .bpf.c or .bpf.o; InputError that names the file when it is neither."""
    if path.suffixes[-2:] == OBJECT:
        data = _read(path, OBJECT_LIMIT)
        if not data:
            raise InputError(f"{path}: empty")
        return Part(path.name, data=data)
    if path.suffixes[-2:] != SOURCE:
        raise InputError(f"{path}: not a .bpf.c or .bpf.o file")
    return Part(path.name, read_source(path), path.parent)


def read_parts(path: Path, linked: Sequence[Path]) -> tuple[Part, ...]:
    """A policy's file and those that are linked with it, `-l`; InputError that names the one that is no such file."""
    parts = [read_part(path)]
    for other in linked:
        try:
            parts.append(read_part(other))
        except InputError as error:
            raise InputError(f"-l {error}") from error
    return tuple(parts)


def read_source(path: Path) -> str:
    """The text of a policy's source file; InputError that names the file when it is not one."""
    if path.suffixes[-2:] != SOURCE:
        raise InputError(f"{path}: not a .bpf.c file")
    try:
        return _read(path, SOURCE_LIMIT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path}: larger than {limit >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
