# SPDX-License-Identifier: Apache-2.0
"""The ops table of an object, and what the loader's arguments make of it and of the knobs in .rodata."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from verifier_vm.object import limits
from verifier_vm.object.btf import ARRAY, DATASEC, ENUM, ENUM64, INT, Btf
from verifier_vm.object.elf import R_BPF_64_ABS64, Symbol
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.program import Program

SECTIONS = (".struct_ops.link", ".struct_ops")
NUMBERS = {"dispatch_max_batch": 4, "flags": 8, "timeout_ms": 4, "exit_dump_len": 4, "hotplug_seq": 8}
NAME_BYTES = 128
KNOWN_ARGUMENTS = ("timeout_ms",)  # after "ops."; the loader only ever lowers it


@dataclass(frozen=True, slots=True)
class Ops:
    """One struct sched_ext_ops: `callbacks` are (pc of the function's first instruction, its name) by member."""

    variable: str
    name: str
    by_cid: bool
    callbacks: dict[str, int]
    numbers: dict[str, int]


def read_ops(program: Program) -> Ops:
    """The one sched_ext ops table of a program; ObjectError when there is none, or more, or it cannot be read."""
    tables = []
    others = 0
    for section_name in SECTIONS:
        section = program.elf.named(section_name)
        if section is None:
            continue
        symbols = {symbol.name: symbol for symbol in program.elf.symbols if symbol.section == section.index}
        for variable in program.btf.members(program.btf.find(section_name, DATASEC)):
            type_id = program.btf.resolve(program.btf.get(variable.type_id).value)
            kind = program.btf.get(type_id).name.split("___")[0]
            symbol = symbols.get(variable.name)
            if kind not in ("sched_ext_ops", "sched_ext_ops_cid") or symbol is None:
                others += 1
                continue
            tables.append(_read_table(program, symbol, type_id, kind))
            if len(tables) > limits.OPS_TABLES:
                break
    if not tables:
        raise ObjectError("no struct_ops in the object: it is no sched_ext policy", "ops")
    if len(tables) + others > 1:
        raise ObjectError("more than one struct_ops in the object: which is the policy?", "ops")
    return tables[0]


def _read_table(program: Program, symbol: Symbol, type_id: int, kind: str) -> Ops:
    section = program.elf.sections[symbol.section]
    size = program.btf.size(type_id)
    if symbol.value + size > len(section.data):
        raise ObjectError(f"the ops table '{symbol.name}' reaches beyond its section", "ops")
    data = section.data[symbol.value : symbol.value + size]
    at = {member.bits // 8: member.name for member in program.btf.members(type_id)}
    callbacks = {}
    for offset, (relocation, function) in program.elf.relocations.get(section.index, {}).items():
        member = at.get(offset - symbol.value)
        if member is None or relocation != R_BPF_64_ABS64 or function.section not in program.base:
            continue
        addend = struct.unpack_from("<Q", section.data, offset)[0] if offset + 8 <= len(section.data) else 0
        pc = program.base[function.section] + (function.value + addend) // 8
        if pc not in program.functions:
            raise ObjectError(f"the ops table's .{member} points to no function", "ops")
        callbacks[member] = pc
    numbers = {name: _number(data, at, name, width) for name, width in NUMBERS.items()}
    return Ops(symbol.name, _name(data, at), kind.endswith("_cid"), callbacks, numbers)


def _number(data: bytes, at: dict[int, str], name: str, width: int) -> int:
    offset = next((offset for offset, member in at.items() if member == name), None)
    return int.from_bytes(data[offset : offset + width], "little") if offset is not None else 0


def _name(data: bytes, at: dict[int, str]) -> str:
    offset = next((offset for offset, member in at.items() if member == "name"), len(data))
    return data[offset : offset + NAME_BYTES].split(b"\0")[0].decode("utf-8", "replace")


def apply_arguments(program: Program, ops: Ops, arguments: Sequence[str]) -> None:
    """Write KNOB=VALUE words into .rodata and ops as guest/loader.c does; ObjectError where it would fail."""
    rodata = bytearray(program.data.get(".rodata", b""))
    knobs = {variable.name: variable.type_id for variable in program.btf.members(program.btf.find(".rodata", DATASEC))}
    section = program.elf.named(".rodata")
    places = {s.name: s for s in program.elf.symbols if section and s.section == section.index}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise ObjectError(f"'{argument}' is not KNOB=VALUE", "knob")
        if name.startswith("ops."):
            _lower(ops, name.removeprefix("ops."), value)
            continue
        if name not in knobs or name not in places:
            raise ObjectError(f"the object has no knob '{name}'", "knob")
        type_id = program.btf.get(knobs[name]).value
        encoded = _encode(program.btf, type_id, value, 0)
        at = places[name].value
        if encoded is None or at + len(encoded) > len(rodata):
            raise ObjectError(f"'{value}' does not fit knob '{name}'", "knob")
        rodata[at : at + len(encoded)] = encoded
    program.data[".rodata"] = bytes(rodata)


def _lower(ops: Ops, name: str, value: str) -> None:
    if name not in KNOWN_ARGUMENTS or not value.isdigit() or len(value) > 10:
        raise ObjectError(f"'ops.{name}={value}' is no setting of the loader", "knob")
    if not ops.numbers[name] or ops.numbers[name] > int(value):
        ops.numbers[name] = int(value)


def _encode(btf: Btf, type_id: int, text: str, depth: int) -> bytes | None:
    """The bytes of a knob's value; None when it does not fit. The rest of a list stays as it was compiled."""
    type_id = btf.resolve(type_id)
    kind, size = btf.get(type_id).kind, btf.size(type_id)
    if kind == ARRAY and depth < 2:
        element, count = btf.array(type_id)
        if not count or size > limits.FILE_BYTES:
            return None
        if btf.get(btf.resolve(element)).name == "char":  # a string
            raw = text.encode()
            return raw.ljust(size, b"\0") if len(raw) < size else None
        items = [_encode(btf, element, item, depth + 1) for item in text.split(",")[: count + 1]]
        encoded = b"".join(item or b"" for item in items)
        return encoded if None not in items and len(items) <= count else None
    if kind not in (INT, ENUM, ENUM64) or size not in (1, 2, 4, 8):
        return None
    try:
        number = {"true": 1, "false": 0}.get(text) if text in ("true", "false") else int(text, 0)
    except ValueError:
        return None
    return (int(number or 0) & (1 << 64) - 1).to_bytes(8, "little")[:size] if abs(int(number or 0)) < 1 << 64 else None
