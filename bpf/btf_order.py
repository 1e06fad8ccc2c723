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

from policy_lake.errors import InfraError
from verifier_vm.object import limits
from verifier_vm.object.btf import (
    ARRAY,
    CONST,
    DATASEC,
    DECL_TAG,
    ENUM,
    ENUM64,
    FUNC,
    FUNC_PROTO,
    PTR,
    RESTRICT,
    STRUCT,
    TAIL,
    TYPE,
    TYPE_TAG,
    TYPEDEF,
    UNION,
    VAR,
    VOLATILE,
    Btf,
    tail_bytes,
)
from verifier_vm.object.btfext import CORE_BYTES, FUNCTION_BYTES, LINE_BYTES, read_tables, records
from verifier_vm.object.elf import REL, Section, read_sections, section_named
from verifier_vm.object.errors import ObjectError

REFERS = frozenset({PTR, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DECL_TAG, TYPE_TAG})
# Which words of what follows a type's header are a name, and which a type.
NAME_AT = {STRUCT: 0, UNION: 0, ENUM: 0, FUNC_PROTO: 0, ENUM64: 0}
TYPES_AT = {STRUCT: (1,), UNION: (1,), FUNC_PROTO: (1,), DATASEC: (0,), ARRAY: (0, 1)}
HEADER_WORDS = TYPE.size // 4


@dataclass(slots=True)
class Words:
    """One type as 32-bit words, and the byte where they begin among the types."""

    kind: int
    words: list[int]
    at: int

    def parts(self) -> Iterator[int]:
        """Where its parts begin in `words`."""
        step = sum(TAIL.get(self.kind, (0, 0))) // 4
        return iter(range(HEADER_WORDS, len(self.words), step)) if step else iter(())

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
    """The same object with its BTF in that order; InfraError where it is not what clang is known to write.

    An object that the reader refuses stays as it is: whoever is to verify or load it refuses it too, and says why.
    """
    try:
        sections = read_sections(data)
        section = section_named(sections, ".BTF")
        if section is None:
            return data
        return _ordered(bytearray(data), section, Btf(section.data), sections)
    except ObjectError:
        return data
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise InfraError(f"the compiler's BTF has another form than is known: {error!r}") from error


def _ordered(data: bytearray, section: Section, btf: Btf, sections: tuple[Section, ...]) -> bytes:
    layout = btf.layout
    types_at, strings_at = section.offset + layout.types.start, section.offset + layout.strings.start
    types, strings = _types(btf, section.data[layout.types]), section.data[layout.strings]
    extension = section_named(sections, ".BTF.ext")
    references = list(_references(extension)) if extension else []
    order = _order(types, strings, [place for place, what in references if what == "type"], data)
    number = {0: 0, **{old: new for new, old in enumerate(order, 1)}}
    table = _Strings(strings)
    ordered: list[int] = []
    moved = {}
    for old in order:
        moved[types[old].at] = 4 * len(ordered)
        words = list(types[old].words)
        for place in types[old].names_at():
            words[place] = table.put(words[place])
        for place in types[old].types_at():
            words[place] = number[words[place]]
        ordered += words
    struct.pack_into(f"<{len(ordered)}I", data, types_at, *ordered)
    for place, what in references:
        (value,) = struct.unpack_from("<I", data, place)
        struct.pack_into("<I", data, place, number[value] if what == "type" else table.put(value))
    made = table.complete(len(strings))
    data[strings_at : strings_at + len(made)] = made
    if relocations := section_named(sections, ".rel.BTF"):
        _move_relocations(data, relocations, layout.types.start, moved)
    return bytes(data)


def _types(btf: Btf, types: bytes) -> dict[int, Words]:
    words = {}
    for number, type_ in enumerate(btf.types[1:], 1):
        begin, end = type_.at - TYPE.size, type_.at + tail_bytes(type_.kind, type_.count)
        words[number] = Words(type_.kind, list(struct.unpack(f"<{(end - begin) // 4}I", types[begin:end])), begin)
    return words


def _references(extension: Section) -> Iterator[tuple[int, str]]:
    """Where in the file .BTF.ext names a type or a string: in the records for functions, lines and relocations."""
    tables = zip(
        read_tables(extension.data),
        ((FUNCTION_BYTES, ("type",)), (LINE_BYTES, ("string", "string")), (CORE_BYTES, ("type", "string"))),
        (limits.FUNCTIONS, limits.LINES, limits.CORE_RELOCATIONS),
        strict=True,
    )
    for table, (smallest, fields), most in tables:
        for name_at, _, places in records(extension.data, table, smallest, most):
            yield extension.offset + name_at, "string"
            for place in places:
                # A record opens with the offset of its instruction.
                yield from ((extension.offset + place + 4 + 4 * index, what) for index, what in enumerate(fields))


def _order(types: dict[int, Words], strings: bytes, referred: list[int], data: bytearray) -> list[int]:
    """Every type once, depth first from what has a name of its own in the program."""

    def key(number: int) -> tuple[int, bytes, int]:
        begin = types[number].words[0]
        return types[number].kind, strings[begin : strings.index(b"\0", begin)], number

    roots = sorted((n for n, type_ in types.items() if type_.kind in (FUNC, VAR, DATASEC, DECL_TAG)), key=key)
    roots += [struct.unpack_from("<I", data, place)[0] for place in referred]
    roots += sorted(types, key=key)
    order: dict[int, None] = {0: None}
    for root in roots:
        todo = [root]
        while todo:
            number = todo.pop()
            if number not in order:
                order[number] = None
                todo += reversed([types[number].words[place] for place in types[number].types_at()])
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

    def complete(self, size: int) -> bytes:
        """The table with those too that nobody named, sorted; ValueError if it has another size."""
        rest, at = [], 0
        while at < len(self.old):
            end = self.old.index(b"\0", at) + 1
            if at not in self.moved:
                rest.append(self.old[at:end])
            at = end
        made = bytes(self.made) + b"".join(sorted(rest))
        if len(made) != size:
            raise ValueError(f"strings of {len(made)} bytes in place of {size}")
        return made


def _move_relocations(data: bytearray, section: Section, types_at: int, moved: dict[int, int]) -> None:
    """Relocations point at words of types, which are elsewhere now."""
    begins = sorted(moved)
    entries = []
    for offset, info in REL.iter_unpack(section.data):
        begin = begins[bisect.bisect_right(begins, offset - types_at) - 1]
        entries.append((offset - begin + moved[begin], info))
    for index, entry in enumerate(sorted(entries)):
        REL.pack_into(data, section.offset + REL.size * index, *entry)
