# SPDX-License-Identifier: Apache-2.0
"""BTF in an order of its own: the same types, lines and relocations, and the same bytes whatever order came in."""

from __future__ import annotations

import struct

import pytest
from object_cases import BAD, GOOD, object_bytes

from bpf.btf_order import with_ordered_btf
from bpf.externs import without_type
from verifier_vm.object import elf
from verifier_vm.object.analyse import analyse_object
from verifier_vm.object.btf import FUNC, VAR, Btf
from verifier_vm.object.btfext import read_extra, read_tables, records
from verifier_vm.object.elf import HEADER, SECTION, SHT_SYMTAB, SYMBOL, read_elf

NAMES = (*GOOD, *BAD)


def described(data):
    """What the BTF of an object says, without the numbers that its types happen to have."""
    parts = read_elf(data)
    btf = Btf(parts.named(".BTF").data)
    extra = read_extra(parts.named(".BTF.ext").data, btf)
    types = sorted(
        (type_.kind, type_.name, type_.count, tuple(member.name for member in btf.members(number)))
        for number, type_ in enumerate(btf.types)
    )
    fields = {
        section: {at: (core.kind, btf.access(core.type_id, core.access)) for at, core in found.items()}
        for section, found in extra.relocations.items()
    }
    return types, extra.lines, fields


@pytest.mark.parametrize("name", NAMES)
def test_ordering_changes_numbers_and_nothing_else(name):
    data = object_bytes(name)
    ordered = with_ordered_btf(data)
    assert described(ordered) == described(data) and len(ordered) == len(data)
    assert with_ordered_btf(ordered) == ordered
    assert analyse_object(ordered).findings == analyse_object(data).findings
    kinds = [type_.kind for type_ in Btf(read_elf(ordered).named(".BTF").data).types]
    assert kinds.index(FUNC) < kinds.index(VAR)  # depth first from functions, then variables


def swapped(data):
    """The object with two functions' types exchanged, and the numbers by which .BTF.ext names them."""
    parts = read_elf(data)
    section, extension = parts.named(".BTF"), parts.named(".BTF.ext")
    btf, changed = Btf(section.data), bytearray(data)
    table, *_ = read_tables(extension.data)
    places = [extension.offset + at + 4 for _, _, found in records(extension.data, table, 8, 100) for at in found]
    numbers = [int.from_bytes(data[place : place + 4], "little") for place in places]
    first, second = numbers[:2]
    base = section.offset + btf.layout.types.start - 12
    one, two = (slice(base + btf.types[n].at, base + btf.types[n].at + 12) for n in (first, second))
    changed[one], changed[two] = data[two], data[one]
    struct.pack_into("<I", changed, places[0], second)
    struct.pack_into("<I", changed, places[1], first)
    return bytes(changed)


def test_the_order_that_came_in_does_not_matter():
    data = object_bytes("vtime")
    other = swapped(data)
    assert other != data and with_ordered_btf(other) == with_ordered_btf(data)


def test_an_object_that_the_reader_refuses_stays_as_it_is(monkeypatch):
    data = object_bytes("vtime")
    header = HEADER.unpack_from(data)
    cut = data[: header[6] + SECTION.size]
    no_btf = data.replace((0xEB9F).to_bytes(2, "little"), b"\0\0")
    for refused in (b"", b"\x7fELF", cut, no_btf):
        assert with_ordered_btf(refused) == refused
        assert not analyse_object(refused).ok and without_type(refused) == []
    monkeypatch.setattr(elf.limits, "SECTIONS", 3)
    assert with_ordered_btf(data) == data and not analyse_object(data).ok


def test_an_extern_without_a_type_is_named_and_an_absolute_symbol_is_no_extern():
    """clang names the source by an absolute one; taking it for an extern would compile every policy twice."""
    data = object_bytes("vtime")
    parts = read_elf(data)
    assert without_type(data) == []
    section, symbols = parts.named(".BTF"), next(s for s in parts.sections if s.kind == SHT_SYMTAB)
    extern = next(s.name for s in parts.symbols if s.undefined and s.name)
    name = f"\0{extern}\0".encode()
    untyped = bytearray(data)
    untyped[section.offset : section.offset + section.size] = section.data.replace(name, name.upper())
    assert without_type(bytes(untyped)) == [extern]
    index = next(index for index, symbol in enumerate(parts.symbols) if symbol.name == extern)
    struct.pack_into("<H", untyped, symbols.offset + SYMBOL.size * index + 6, 0xFFF1)
    assert without_type(bytes(untyped)) == []
