# SPDX-License-Identifier: Apache-2.0
"""Reading .BTF.ext: which source line an instruction comes from, and which field of the kernel's it means (CO-RE)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from verifier_vm.object import limits
from verifier_vm.object.btf import Btf
from verifier_vm.object.errors import ObjectError

HEADER = struct.Struct("<HBBIIIIIII")  # up to the CO-RE relocations, which old compilers leave out
FIELD_OFFSET, FIELD_SIZE, FIELD_EXISTS, FIELD_SIGNED = 0, 1, 2, 3
TYPE_EXISTS, TYPE_SIZE, ENUM_EXISTS, ENUM_VALUE, TYPE_MATCHES = 8, 9, 10, 11, 12


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
    if len(data) < 24 or struct.unpack_from("<H", data)[0] != 0xEB9F:
        raise ObjectError("the .BTF.ext section is malformed", "btf")
    fields = HEADER.unpack_from(data.ljust(HEADER.size, b"\0"))
    header, lines, lines_bytes = fields[3], fields[6], fields[7]
    cores, cores_bytes = (fields[8], fields[9]) if header >= HEADER.size else (0, 0)
    files: dict[int, str] = {}
    for section, record in _records(data, header + lines, lines_bytes, 16, limits.LINES, btf):
        at, file, _, position = struct.unpack_from("<IIII", record)
        if file not in files:
            files[file] = btf.string(file).removeprefix("./")
        extra.lines.setdefault(section, {})[at] = (files[file], position >> 10)
    for section, record in _records(data, header + cores, cores_bytes, 16, limits.CORE_RELOCATIONS, btf):
        at, type_id, access, kind = struct.unpack_from("<IIII", record)
        extra.relocations.setdefault(section, {})[at] = CoreRelocation(type_id, btf.string(access), kind)
    return extra


def _records(data: bytes, at: int, size: int, smallest: int, most: int, btf: Btf) -> Iterator[tuple[str, bytes]]:
    """(section, record) of one of the tables: a record size, then per section a name, a count and the records."""
    if not size:
        return
    end = at + size
    if end > len(data) or size < 4:
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
        section = btf.string(name)
        for index in range(count):
            yield section, data[at + index * each : at + index * each + smallest]
        at += count * each
