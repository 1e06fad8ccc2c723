# SPDX-License-Identifier: Apache-2.0
"""An object's BTF in an order of its own: clang's depends on where its memory lay, once headers are precompiled.

LLVM writes the types that it knows only by name in the order of their addresses, and reads precompiled headers in an
order that hashes of addresses give. Which types there are, and all else in the object, is not touched by that. So types
are numbered anew, depth first from the functions, variables and sections, and strings as they are then met. Format:
Documentation/bpf/btf.rst of the kernel.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from policy_lake.model import InfraError

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF = range(1, 9)
VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC = range(9, 16)
FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(16, 20)
REFERS = frozenset({PTR, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DECL_TAG, TYPE_TAG})
# Words after the first three: as many for each of a type's parts, or just once.
PER_PART = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, DATASEC: 3, ENUM64: 3}
ONCE = {INT: 1, ARRAY: 3, VAR: 1, DECL_TAG: 1}
# Which words of a part are a name, and which a type.
NAME_AT = {STRUCT: 0, UNION: 0, ENUM: 0, FUNC_PROTO: 0, ENUM64: 0}
TYPES_AT = {STRUCT: (1,), UNION: (1,), FUNC_PROTO: (1,), DATASEC: (0,), ARRAY: (0, 1)}
RELOCATION = 16  # bytes of one


@dataclass(slots=True)
class Type:
    """One type's words, and where they begin in the section."""

    words: list[int]
    at: int

    @property
    def kind(self) -> int:
        """Its kind."""
        return self.words[1] >> 24 & 0x1F

    def parts(self) -> Iterator[int]:
        """Where its parts begin in `words`."""
        step = PER_PART.get(self.kind) or ONCE.get(self.kind)
        return iter(range(3, len(self.words), step)) if step else iter(())

    def names_at(self) -> Iterator[int]:
        """Which words are names."""
        yield 0
        if self.kind in NAME_AT:
            yield from self.parts()

    def types_at(self) -> Iterator[int]:
        """Which words are types."""
        if self.kind in REFERS:
            yield 2
        for place in TYPES_AT.get(self.kind, ()):
            for part in self.parts():
                yield part + place


def with_ordered_btf(data: bytes) -> bytes:
    """The same object with its BTF in that order; InfraError where it is not what clang is known to write."""
    try:
        return _ordered(bytearray(data))
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise InfraError(f"the compiler's BTF has another form than is known: {error!r}") from error


def _ordered(data: bytearray) -> bytes:
    found = _sections(data)
    if ".BTF" not in found:
        return bytes(data)
    start, _ = found[".BTF"]
    header, type_off, type_len, str_off, str_len = struct.unpack_from("<4x5I", data, start)
    types_at, strings_at = start + header + type_off, start + header + str_off
    types = _types(struct.unpack_from(f"<{type_len // 4}I", data, types_at))
    strings = bytes(data[strings_at : strings_at + str_len])
    extension = found.get(".BTF.ext")
    records = list(_extension(data, *extension)) if extension else []
    order = _order(types, strings, [place for place, what in records if what == "type"], data)
    number = {0: 0, **{old: new for new, old in enumerate(order, 1)}}
    table = _Strings(strings)
    told: list[int] = []
    moved = {}
    for old in order:
        one = types[old]
        moved[one.at] = 4 * len(told)
        words = list(one.words)
        for place in one.names_at():
            words[place] = table.put(words[place])
        for place in one.types_at():
            words[place] = number[words[place]]
        told += words
    struct.pack_into(f"<{len(told)}I", data, types_at, *told)
    for place, what in records:
        (value,) = struct.unpack_from("<I", data, place)
        struct.pack_into("<I", data, place, number[value] if what == "type" else table.put(value))
    made = table.whole(str_len)
    data[strings_at : strings_at + str_len] = made
    if ".rel.BTF" in found:
        _move_relocations(data, found[".rel.BTF"], header + type_off, moved)
    return bytes(data)


def _sections(data: bytearray) -> dict[str, tuple[int, int]]:
    """Where each section lies, and its size: of a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit ELF")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<3H", data, 0x3A)
    headers = [struct.unpack_from("<II2Q2Q", data, table + size * index) for index in range(count)]
    base = headers[names][4]
    found = {}
    for name, _kind, _flags, _address, offset, length in headers:
        end = data.index(b"\0", base + name)
        found[data[base + name : end].decode()] = (offset, length)
    return found


def _types(words: tuple[int, ...]) -> dict[int, Type]:
    found: dict[int, Type] = {}
    at = 0
    while at < len(words):
        kind, parts = words[at + 1] >> 24 & 0x1F, words[at + 1] & 0xFFFF
        length = 3 + PER_PART.get(kind, 0) * parts + ONCE.get(kind, 0)
        found[len(found) + 1] = Type(list(words[at : at + length]), 4 * at)
        at += length
    return found


def _extension(data: bytearray, start: int, size: int) -> Iterator[tuple[int, str]]:
    """Where .BTF.ext names a type or a string: in the records for functions, lines and relocations."""
    header, *parts = struct.unpack_from("<4x7I", data, start)
    kinds = (("type",), ("string", "string"), ("type", "string"))
    for offset, length, kind in zip(parts[::2], parts[1::2], kinds, strict=False):
        at, end = start + header + offset, start + header + offset + length
        if not length or end > start + size:
            continue
        (record,) = struct.unpack_from("<I", data, at)
        at += 4
        while at < end:
            (count,) = struct.unpack_from("<I", data, at + 4)
            yield at, "string"
            at += 8
            for _ in range(count):
                yield from ((at + 4 + 4 * index, what) for index, what in enumerate(kind))
                at += record


def _order(types: dict[int, Type], strings: bytes, referred: list[int], data: bytearray) -> list[int]:
    """Every type once, depth first from what has a name of its own in the program."""

    def key(one: int) -> tuple[int, bytes, int]:
        begin = types[one].words[0]
        return types[one].kind, strings[begin : strings.index(b"\0", begin)], one

    roots = sorted((one for one in types if types[one].kind in (FUNC, VAR, DATASEC, DECL_TAG)), key=key)
    roots += [struct.unpack_from("<I", data, place)[0] for place in referred]
    roots += sorted(types, key=key)
    order: dict[int, None] = {0: None}
    for root in roots:
        todo = [root]
        while todo:
            one = todo.pop()
            if one not in order:
                order[one] = None
                todo += reversed([types[one].words[place] for place in types[one].types_at()])
    del order[0]
    return list(order)


class _Strings:
    """The new table of strings, each put where it is first met."""

    def __init__(self, old: bytes) -> None:
        self.old, self.moved, self.made = old, {0: 0}, bytearray(1)

    def put(self, at: int) -> int:
        """The new place of the string that lay at `at`."""
        if at not in self.moved:
            self.moved[at] = len(self.made)
            self.made += self.old[at : self.old.index(b"\0", at) + 1]
        return self.moved[at]

    def whole(self, size: int) -> bytes:
        """The table with those too that nobody named, sorted; ValueError if it has another size."""
        rest, at = [], 0
        while at < len(self.old):
            end = self.old.index(b"\0", at) + 1
            if at not in self.moved:
                rest.append(self.old[at:end])
            at = end
        whole = bytes(self.made) + b"".join(sorted(rest))
        if len(whole) != size:
            raise ValueError(f"strings of {len(whole)} bytes in place of {size}")
        return whole


def _move_relocations(data: bytearray, section: tuple[int, int], types_at: int, moved: dict[int, int]) -> None:
    """Relocations point at words of types, which are elsewhere now."""
    start, size = section
    begins = sorted(moved)
    entries = []
    for place in range(start, start + size, RELOCATION):
        offset, info = struct.unpack_from("<2Q", data, place)
        begin = begins[bisect.bisect_right(begins, offset - types_at) - 1]
        entries.append((offset - begin + moved[begin], info))
    for index, entry in enumerate(sorted(entries)):
        struct.pack_into("<2Q", data, start + RELOCATION * index, *entry)
