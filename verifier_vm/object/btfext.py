# SPDX-License-Identifier: Apache-2.0
"""Reading .BTF.ext: which source line an instruction comes from, and which field of the kernel's it means (CO-RE)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from verifier_vm.object import limits
from verifier_vm.object.btf import MAGIC, Btf
from verifier_vm.object.errors import ObjectError

HEADER = struct.Struct("<HBBIIIIIII")  # up to the CO-RE relocations, which old compilers leave out
FUNCTION_BYTES, LINE_BYTES, CORE_BYTES = 8, 16, 16  # of a record, at least; a record has the same fields before its end
FIELD_OFFSET = 0  # which property of a field a CO-RE relocation asks for: here, where it lies


@dataclass(frozen=True, slots=True)
class CoreRelocation:
    """What libbpf would patch into an instruction: the type, the access string, and which property of it."""

    type_id: int
    access: str
    kind: int


@dataclass(slots=True)
class Extra:
    """Both by section name and byte offset; a line is (file, line)."""

    lines: dict[str, dict[int, tuple[str, int]]] = field(default_factory=dict)
    relocations: dict[str, dict[int, CoreRelocation]] = field(default_factory=dict)


def read_extra(data: bytes, btf: Btf) -> Extra:
    """The line information and CO-RE relocations of an object; both empty without the section."""
    extra = Extra()
    if not data:
        return extra
    _, lines, cores = read_tables(data)
    files: dict[int, str] = {}
    for _, name, places in records(data, lines, LINE_BYTES, limits.LINES):
        section = extra.lines.setdefault(btf.string(name), {}) if places else {}
        for place in places:
            at, file, _, position = struct.unpack_from("<IIII", data, place)
            if file not in files:
                files[file] = btf.string(file).removeprefix("./")
            section[at] = (files[file], position >> 10)
    for _, name, places in records(data, cores, CORE_BYTES, limits.CORE_RELOCATIONS):
        fields = extra.relocations.setdefault(btf.string(name), {}) if places else {}
        for place in places:
            at, type_id, access, kind = struct.unpack_from("<IIII", data, place)
            fields[at] = CoreRelocation(type_id, btf.string(access), kind)
    return extra


def read_tables(data: bytes) -> tuple[slice, slice, slice]:
    """Where the tables of functions, lines and CO-RE relocations lie; ObjectError for what is no .BTF.ext."""
    if len(data) < 24 or struct.unpack_from("<H", data)[0] != MAGIC:
        raise ObjectError("the .BTF.ext section is malformed", "btf")
    _, _, _, header, *places = HEADER.unpack_from(data.ljust(HEADER.size, b"\0"))
    functions, lines, cores = (
        slice(header + at, header + at + size) for at, size in zip(places[::2], places[1::2], strict=True)
    )
    return functions, lines, cores if header >= HEADER.size else slice(0, 0)


def records(data: bytes, table: slice, smallest: int, most: int) -> Iterator[tuple[int, int, Sequence[int]]]:
    """Per code section of a table: where the string that names it is named, that string, where its records begin.

    A table is a record size, then for each section a name, a count and the records. ObjectError for one that is
    truncated, has more than `most` records or smaller ones than `smallest`.
    """
    at, end = table.start, table.stop
    if at == end:
        return
    if end > len(data) or end - at < 4:
        raise ObjectError("the .BTF.ext section is truncated", "btf")
    (each,) = struct.unpack_from("<I", data, at)
    if not smallest <= each <= 256:
        raise ObjectError(f"records of {each} bytes in .BTF.ext", "btf")
    at += 4
    while at < end:
        if at + 8 > end:
            raise ObjectError("the .BTF.ext section is truncated", "btf")
        name, count = struct.unpack_from("<II", data, at)
        at += 8
        most -= count
        if at + count * each > end or most < 0:
            raise ObjectError("a table of .BTF.ext is truncated, or too long", "btf")
        yield at - 8, name, range(at, at + count * each, each)
        at += count * each
