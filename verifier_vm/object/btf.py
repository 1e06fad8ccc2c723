# SPDX-License-Identifier: Apache-2.0
"""The one reader of BTF: names, structs, enums and variables, as Documentation/bpf/btf.rst lays them out.

Types are found by one pass over their headers; their members are read when they are asked for. Chains that lead
nowhere or in a circle end after BTF_DEPTH steps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from verifier_vm.object import limits
from verifier_vm.object.elf import text_at
from verifier_vm.object.errors import ObjectError

MAGIC = 0xEB9F
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
ALIASES = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
# Bytes after a type's header: fixed, and per element.
TAIL = {INT: (4, 0), ARRAY: (12, 0), STRUCT: (0, 12), UNION: (0, 12), ENUM: (0, 8), FUNC_PROTO: (0, 8), VAR: (4, 0),
        DATASEC: (0, 12), DECL_TAG: (4, 0), ENUM64: (0, 12)}  # fmt: skip
HEADER = struct.Struct("<HBBIIIII")
TYPE = struct.Struct("<III")
TRIPLE = struct.Struct("<III")


@dataclass(frozen=True, slots=True)
class Type:
    """A type's header: `value` is its size or the type it refers to; `at` is where its tail begins among the types."""

    name: str
    kind: int
    count: int
    flag: bool
    value: int
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union, or a variable of a section (`bits` then is its byte offset times 8)."""

    name: str
    type_id: int
    bits: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a .BTF section its types and its strings lie."""

    types: slice
    strings: slice


def read_layout(data: bytes) -> Layout:
    """Where types and strings lie; ObjectError for what is no BTF, or does not hold them."""
    if len(data) < HEADER.size or struct.unpack_from("<H", data)[0] != MAGIC:
        raise ObjectError("the .BTF section is no BTF", "btf")
    _, _, _, header, types, types_bytes, strings, strings_bytes = HEADER.unpack_from(data)
    if header + max(types + types_bytes, strings + strings_bytes) > len(data):
        raise ObjectError("the .BTF section is truncated", "btf")
    types, strings = header + types, header + strings
    return Layout(slice(types, types + types_bytes), slice(strings, strings + strings_bytes))


def tail_bytes(kind: int, count: int) -> int:
    """How many bytes follow the header of a type."""
    fixed, each = TAIL.get(kind, (0, 0))
    return fixed + each * count


class Btf:
    """The types of one object, by id; id 0 is void. ObjectError from the constructor when they cannot be told apart."""

    def __init__(self, data: bytes) -> None:
        self.layout = read_layout(data)
        self._types, self._strings = data[self.layout.types], data[self.layout.strings]
        self._looked_through = 0
        self._members: dict[int, tuple[Member, ...]] = {}
        self._accesses: dict[tuple[int, str], tuple[str, int] | None] = {}
        self.types = [Type("void", 0, 0, False, 0, 0)]
        self._scan()

    def _scan(self) -> None:
        at, data, end = 0, self._types, len(self._types)
        while at < end:
            if at + TYPE.size > end or len(self.types) > limits.BTF_TYPES:
                raise ObjectError(f"the BTF types are truncated, or more than {limits.BTF_TYPES}", "btf")
            name, info, value = TYPE.unpack_from(data, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            if not INT <= kind <= ENUM64:
                raise ObjectError(f"BTF type {len(self.types)} is of an unknown kind ({kind})", "btf")
            at += TYPE.size
            self.types.append(Type(text_at(self._strings, name), kind, count, bool(info >> 31), value, at))
            at += tail_bytes(kind, count)
        if at != end:
            raise ObjectError("the last BTF type is truncated", "btf")

    def string(self, offset: int) -> str:
        """A string of the table; "" outside it."""
        return text_at(self._strings, offset)

    def get(self, type_id: int) -> Type:
        """The type with that id; void when there is none."""
        return self.types[type_id] if 0 <= type_id < len(self.types) else self.types[0]

    def resolve(self, type_id: int) -> int:
        """The id behind typedefs and qualifiers; 0 (void) for a chain without end."""
        for _ in range(limits.BTF_DEPTH):
            type_ = self.get(type_id)
            if type_.kind not in ALIASES:
                return type_id if type_id < len(self.types) else 0
            type_id = type_.value
        return 0

    def find(self, name: str, *kinds: int) -> int:
        """The id of the first type of that name and one of the kinds; 0 when there is none."""
        return next((i for i, type_ in enumerate(self.types) if type_.name == name and type_.kind in kinds), 0)

    def members(self, type_id: int) -> tuple[Member, ...]:
        """Members of a struct or union, or variables of a section, in order; () of anything else."""
        type_id = self.resolve(type_id)
        if type_id not in self._members:
            self._members[type_id] = tuple(self._read_members(self.get(type_id)))
        return self._members[type_id]

    def _read_members(self, of: Type) -> Iterator[Member]:
        if of.kind not in (STRUCT, UNION, DATASEC):
            return
        self._looked_through += of.count
        if self._looked_through > limits.STRUCT_MEMBERS:
            raise ObjectError(f"more than {limits.STRUCT_MEMBERS} struct members would have to be read", "btf")
        for first, second, third in TRIPLE.iter_unpack(self._types[of.at : of.at + 12 * of.count]):
            if of.kind == DATASEC:
                yield Member(self.get(first).name, first, second * 8)
            else:
                yield Member(text_at(self._strings, first), second, third & 0xFFFFFF if of.flag else third)

    def parameters(self, prototype: Type) -> list[int]:
        """The types of a function's parameters."""
        if prototype.kind != FUNC_PROTO:
            return []
        tail = self._types[prototype.at : prototype.at + 8 * prototype.count]
        return [type_id for _, type_id in struct.iter_unpack("<II", tail)]

    def encoding(self, type_id: int) -> int:
        """The encoding of an integer, BTF_INT_SIGNED among its bits; 0 of anything else."""
        type_ = self.get(self.resolve(type_id))
        return self._types[type_.at + 3] & 0x0F if type_.kind == INT and type_.at + 4 <= len(self._types) else 0

    def is_bool(self, type_id: int) -> bool:
        """Is it C's bool?"""
        type_ = self.get(self.resolve(type_id))
        return type_.kind == INT and type_.name in ("bool", "_Bool")

    def bools(self, type_id: int) -> frozenset[int]:
        """The offsets of bools in a struct, not looking into arrays or other structs."""
        if self.is_bool(type_id):
            return frozenset((0,))
        return frozenset(m.bits // 8 for m in self.members(type_id) if self.is_bool(m.type_id))

    def array(self, type_id: int) -> tuple[int, int]:
        """(element type, number of elements) of an array."""
        at = self.get(type_id).at
        element, _, count = TRIPLE.unpack_from(self._types, at)
        return element, count

    def elements(self, type_id: int) -> int:
        """How many elements an array has; 0 of anything else."""
        type_ = self.get(self.resolve(type_id))
        return self.array(self.resolve(type_id))[1] if type_.kind == ARRAY else 0

    def size(self, type_id: int) -> int:
        """Size of a type in bytes; 0 when unknown."""
        total = 1
        for _ in range(limits.BTF_DEPTH):
            type_id = self.resolve(type_id)
            type_ = self.get(type_id)
            if type_.kind == ARRAY:
                type_id, count = self.array(type_id)
                total *= count
                continue
            if type_.kind == PTR:
                return 8 * total
            return type_.value * total if type_.kind in (INT, STRUCT, UNION, ENUM, FLOAT, ENUM64, DATASEC) else 0
        return 0

    def access(self, type_id: int, spec: str) -> tuple[str, int] | None:
        """A CO-RE access string ("0:25:12") as (dotted path of members, byte offset); None where it leads nowhere."""
        if (type_id, spec) not in self._accesses:
            self._accesses[type_id, spec] = self._access(type_id, spec)
        return self._accesses[type_id, spec]

    def _access(self, type_id: int, spec: str) -> tuple[str, int] | None:
        parts = spec.split(":")
        if not all(part.isdigit() and len(part) < 9 for part in parts) or len(parts) > limits.BTF_DEPTH:
            return None
        current, offset, path = self.resolve(type_id), int(parts[0]) * self.size(type_id), []
        for part in parts[1:]:
            kind = self.get(current).kind
            if kind == ARRAY:
                element, _ = self.array(current)
                offset += int(part) * self.size(element)
                current = self.resolve(element)
                continue
            members = self.members(current)
            if int(part) >= len(members):
                return None
            member = members[int(part)]
            path += [member.name] if member.name else []
            offset += member.bits // 8
            current = self.resolve(member.type_id)
        return ".".join(path), offset
