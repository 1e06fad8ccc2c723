# SPDX-License-Identifier: Apache-2.0
"""The one reader of ELF: sections, symbols, relocations, every offset checked against the file.

With `struct`, not pyelftools: importing that takes 0.2 s, more than all static stages together may. The tests hold this
reader against pyelftools on real objects. A leaf, with btf.py and btfext.py: `bpf` reads what it has compiled by them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from verifier_vm.object import limits
from verifier_vm.object.errors import ObjectError

ET_REL, EM_BPF = 1, 247
MIB = 1 << 20
SHT_SYMTAB, SHT_NOBITS, SHT_RELA, SHT_REL = 2, 8, 4, 9
SHF_EXECINSTR = 4
R_BPF_64_64, R_BPF_64_ABS64, R_BPF_64_32 = 1, 2, 10
STT_FUNC, STT_SECTION = 2, 3
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
REL = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Section:
    """One section, at byte `offset` of the file; `data` is empty for NOBITS, whose `size` still counts."""

    index: int
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    data: bytes
    link: int
    info: int

    @property
    def executable(self) -> bool:
        """Does it hold instructions?"""
        return bool(self.flags & SHF_EXECINSTR) and bool(self.data)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol; `section` is 0 for one that is in none, which `undefined` tells from an absolute or common one."""

    name: str
    kind: int
    section: int
    value: int
    size: int
    undefined: bool


@dataclass(frozen=True, slots=True)
class Elf:
    """`relocations` maps a section's index to those that apply to it, by byte offset: (kind, symbol)."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: dict[int, dict[int, tuple[int, Symbol]]]

    def named(self, name: str) -> Section | None:
        """The first section of that name."""
        return section_named(self.sections, name)


def read_elf(data: bytes) -> Elf:
    """The parts of a 64-bit little-endian BPF relocatable; ObjectError for all else and for offsets out of the file."""
    header = _header(data, limits.FILE_BYTES)
    if header[1] != ET_REL or header[2] != EM_BPF:
        raise ObjectError("the object is not a relocatable for BPF (compile with clang --target=bpf -c)")
    sections = read_sections(data)
    symbols = _symbols(sections)
    return Elf(sections, symbols, _relocations(sections, symbols))


def read_sections(data: bytes, *, most_bytes: int = limits.FILE_BYTES) -> tuple[Section, ...]:
    """The sections of any 64-bit little-endian ELF file of at most `most_bytes`; ObjectError for all else."""
    header = _header(data, most_bytes)
    offset, entry_size, count, names_index = header[6], *header[11:14]
    if not count or count > limits.SECTIONS or entry_size != SECTION.size:
        raise ObjectError(f"the section table is unusable: {count} entries of {entry_size} bytes")
    if offset + count * entry_size > len(data):
        raise ObjectError("the section table reaches beyond the end of the file: it is truncated")
    raw = list(SECTION.iter_unpack(data[offset : offset + count * entry_size]))
    if names_index >= count:
        raise ObjectError(f"the section names are in section {names_index}, which does not exist")
    names = _bytes_of(data, raw[names_index], names_index)
    sections, zeros = [], 0
    for index, fields in enumerate(raw):
        name, kind, flags, _, at, size, link, info, _, _ = fields
        called = text_at(names, name)
        if kind == SHT_NOBITS:
            zeros += size
        if size > most_bytes and kind != SHT_NOBITS:
            raise ObjectError(
                f"section '{called}' has {size} bytes, more than the {most_bytes} that it may have here", "size"
            )
        if zeros > max(limits.BSS_BYTES, most_bytes):
            raise ObjectError(
                f"'{called}' is too large: {size / MIB:.0f} MiB, and all that is zero at first may have"
                f" {limits.BSS_BYTES // MIB} MiB here",
                "size",
            )
        content = _bytes_of(data, fields, index)
        sections.append(Section(index, called, kind, flags, at, size, content, link, info))
    return tuple(sections)


def _header(data: bytes, most_bytes: int) -> tuple[Any, ...]:
    if len(data) > most_bytes:
        raise ObjectError(f"the object has {len(data)} bytes, more than the {most_bytes} that are looked at", "size")
    if len(data) < HEADER.size or data[:4] != b"\x7fELF":
        raise ObjectError("this is no ELF object")
    if data[4] != 2 or data[5] != 1:
        raise ObjectError("the object is not 64-bit little-endian ELF")
    return HEADER.unpack_from(data)


def section_named(sections: Iterable[Section], name: str) -> Section | None:
    """The first section of that name."""
    return next((section for section in sections if section.name == name), None)


def _bytes_of(data: bytes, fields: tuple[int, ...], index: int) -> bytes:
    kind, offset, size = fields[1], fields[4], fields[5]
    if kind in (SHT_NOBITS, 0):
        return b""
    if offset + size > len(data):
        raise ObjectError(f"section {index} reaches beyond the end of the file: it is truncated")
    return data[offset : offset + size]


def text_at(strings: bytes, offset: int) -> str:
    """The NUL-terminated string at `offset`; "" outside the table, cut at NAME_BYTES."""
    if not 0 <= offset < len(strings):
        return ""
    end = strings.find(b"\0", offset, offset + limits.NAME_BYTES)
    return strings[offset : end if end >= 0 else offset + limits.NAME_BYTES].decode("utf-8", "replace")


def _symbols(sections: tuple[Section, ...]) -> tuple[Symbol, ...]:
    table = next((section for section in sections if section.kind == SHT_SYMTAB), None)
    if table is None or len(table.data) % SYMBOL.size or len(table.data) // SYMBOL.size > limits.SYMBOLS:
        raise ObjectError("the symbol table is missing or malformed")
    if table.link >= len(sections):
        raise ObjectError(f"the symbol names are in section {table.link}, which does not exist")
    strings = sections[table.link].data
    symbols = []
    for name, info, _, section, value, size in SYMBOL.iter_unpack(table.data):
        at = section if section < len(sections) else 0  # common and absolute symbols have no place in BPF
        text = sections[at].name if info & 15 == STT_SECTION and at else text_at(strings, name)
        symbols.append(Symbol(text, info & 15, at, value, size, undefined=section == 0))
    return tuple(symbols)


def _relocations(
    sections: tuple[Section, ...], symbols: tuple[Symbol, ...]
) -> dict[int, dict[int, tuple[int, Symbol]]]:
    by_section: dict[int, dict[int, tuple[int, Symbol]]] = {}
    count = 0
    for section in sections:
        if section.kind == SHT_RELA:
            raise ObjectError(f"relocations with addends in '{section.name}': BPF has none")
        if section.kind != SHT_REL or section.name in (".rel.BTF", ".rel.BTF.ext") or ".debug" in section.name:
            continue  # in .BTF and .BTF.ext the addends in place already say what is needed
        count += len(section.data) // REL.size
        if len(section.data) % REL.size or count > limits.RELOCATIONS or section.info >= len(sections):
            raise ObjectError(f"the relocations of '{section.name}' are malformed")
        target = by_section.setdefault(section.info, {})
        for offset, info in REL.iter_unpack(section.data):
            if info >> 32 >= len(symbols) or offset >= max(sections[section.info].size, 1):
                raise ObjectError(f"a relocation of '{section.name}' names a symbol or place that does not exist")
            target[offset] = (info & 0xFFFFFFFF, symbols[info >> 32])
    return by_section
