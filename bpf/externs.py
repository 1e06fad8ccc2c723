# SPDX-License-Identifier: Apache-2.0
"""Kernel functions that an object calls and has no type of: libbpf refuses to load it.

clang (19) writes the type of an extern where it emits a call, or at the end for those that this source itself declared.
One that a precompiled header declares and only a cleanup attribute calls, as `bpf_for` calls bpf_iter_num_destroy, gets
none.
"""

from __future__ import annotations

import struct

SYMTAB = 2
SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size


def without_type(data: bytes) -> list[str]:
    """The names of undefined symbols that the object's BTF does not know; empty for an object without either."""
    try:
        return sorted(_undefined(data) - _btf_names(data))
    except (struct.error, IndexError, ValueError):
        return []  # whoever reads the object next says what is wrong with it


def _sections(data: bytes) -> list[tuple[str, int, int, int, int]]:
    """Name, type, offset, size and link of each section of a 64-bit little-endian ELF file."""
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<3H", data, 0x3A)
    headers = [struct.unpack_from("<II2Q2QI", data, table + size * index) for index in range(count)]
    base = headers[names][4] if headers else 0
    return [(_text(data, base + name), kind, at, length, link) for name, kind, _f, _a, at, length, link in headers]


def _undefined(data: bytes) -> set[str]:
    found = set()
    sections = _sections(data)
    for _name, kind, at, length, link in sections:
        if kind != SYMTAB:
            continue
        strings = sections[link][2]
        for name, _info, _other, section, _value, _size in SYMBOL.iter_unpack(data[at : at + length]):
            if name and section == 0:
                found.add(_text(data, strings + name))
    return found


def _btf_names(data: bytes) -> set[str]:
    for name, _kind, at, _length, _link in _sections(data):
        if name == ".BTF":
            header, _types, _types_len, strings, strings_len = struct.unpack_from("<4x5I", data, at)
            begin = at + header + strings
            return {text.decode(errors="replace") for text in data[begin : begin + strings_len].split(b"\0")}
    return set()


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode(errors="replace")
