# SPDX-License-Identifier: Apache-2.0
"""What a policy is built from: a source or a ready object, and others that are linked with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from verifier_vm.object.elf import read_elf
from verifier_vm.object.errors import ObjectError

SOURCE, OBJECT = [".bpf", ".c"], [".bpf", ".o"]
SOURCE_LIMIT = 4 << 20
OBJECT_LIMIT = 16 << 20  # what the object stage looks at
ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a policy by its name for people: a `source` whose headers may lie in `directory`, or an object."""

    name: str
    source: str = ""
    directory: Path | None = None
    data: bytes = b""


def read_part(path: Path) -> Part:
    """A .bpf.c or .bpf.o; InputError that names the file when it is neither."""
    if path == Path():  # what an empty word becomes
        raise InputError("the path of the policy is empty, or the directory itself: give a .bpf.c or .bpf.o file")
    if path.suffixes[-2:] == OBJECT:
        data = read_outside(path, OBJECT_LIMIT)
        if not data:
            raise InputError(f"{path}: empty")
        _refuse_damaged(path, data)
        return Part(path.name, data=data)
    if path.suffixes[-2:] != SOURCE:
        raise InputError(f"{path}: not a .bpf.c or .bpf.o file")
    return Part(path.name, read_source(path), path.parent)


def _refuse_damaged(path: Path, data: bytes) -> None:
    """InputError for what is no whole object for BPF; what is only too large is one, which the stage object refuses."""
    if not data.startswith(ELF):
        raise InputError(f"{path}: no ELF object, as clang --target=bpf -c makes")
    try:
        read_elf(data)
    except ObjectError as error:
        if error.bug == "elf":
            raise InputError(f"{path}: {error}") from error


def read_linked(paths: Sequence[Path]) -> list[Part]:
    """The files that are linked with a policy's own, `-l`; InputError that names the one that is no such file."""
    parts = []
    for path in paths:
        try:
            parts.append(read_part(path))
        except InputError as error:
            raise InputError(f"-l {error}") from error
    return parts


def read_source(path: Path) -> str:
    """The text of a policy's source file; InputError that names the file when it is not one."""
    if path.suffixes[-2:] != SOURCE:
        raise InputError(f"{path}: not a .bpf.c file")
    try:
        return read_outside(path, SOURCE_LIMIT).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
