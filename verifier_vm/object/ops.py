# SPDX-License-Identifier: Apache-2.0
"""The ops table of an object, and what the loader's arguments make of it and of the knobs in .rodata."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policy_lake.knobs import OPS_FLAG, OPS_TIMEOUT, OPS_USE, split_word
from verifier_vm.object import limits
from verifier_vm.object.btf import ARRAY, DATASEC, ENUM, ENUM64, INT, Btf
from verifier_vm.object.elf import R_BPF_64_ABS64, Symbol
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.filled import constants, is_resizable, write
from verifier_vm.object.program import Program

SECTIONS = (".struct_ops.link", ".struct_ops", "?.struct_ops.link", "?.struct_ops")
KINDS = ("sched_ext_ops", "sched_ext_ops_cid")
NUMBERS = {"dispatch_max_batch": 4, "flags": 8, "timeout_ms": 4, "exit_dump_len": 4, "hotplug_seq": 8}
NAME_BYTES = 128
TEXT = ".text"  # functions that programs call
NAMED = 4  # of what an object has instead of a policy
MOST_CPUS = 1024  # that an array with an element for each CPU is given values for


@dataclass(frozen=True, slots=True)
class Ops:
    """One struct sched_ext_ops: `callbacks` are (pc of the function's first instruction, its name) by member."""

    variable: str
    name: str
    by_cid: bool
    callbacks: dict[str, int]
    numbers: dict[str, int]


def read_ops(program: Program, wanted: str = "") -> Ops:
    """The sched_ext ops table `wanted` of a program, or the only one; ObjectError when there is none, or more."""
    tables, others = [], list[tuple[str, str]]()
    for name, kind, type_id, symbol in _struct_ops(program):
        if kind not in KINDS:
            others.append((name, kind))
        elif not wanted or name == wanted:
            tables.append(_read_table(program, symbol, type_id, kind))
        if len(tables) > limits.OPS_TABLES:
            break
    if len(tables) == 1:
        return tables[0]
    names = ", ".join(policy_names(program)[: limits.OPS_TABLES])
    if tables:
        raise ObjectError(f"more than one sched_ext policy in the object, {names}: say which with --ops NAME", "ops")
    if wanted:
        raise ObjectError(f"no sched_ext policy '{wanted}' in the object; it has: {names or 'none'}", "ops")
    raise ObjectError(f"{_what_it_has(program, others)}: it is no sched_ext policy", "ops")


def _what_it_has(program: Program, others: Sequence[tuple[str, str]]) -> str:
    """What an object has instead: another subsystem's struct_ops (their variable and type), or programs of its own."""
    if others:
        told = [f"'{name}' is a {kind}, not a sched_ext_ops" for name, kind in others[:NAMED]]
        return f"the object's struct_ops {', '.join(told)}{_more(len(others))}"
    sections = {function.section.lstrip("?") for function in program.functions.values()} - {TEXT}
    told = [f'SEC("{section}")' for section in sorted(sections)[:NAMED]]
    return f"no struct_ops in the object{', but ' * bool(told)}{', '.join(told)}{_more(len(sections))}"


def _more(count: int) -> str:
    return f" and {count - NAMED} more" if count > NAMED else ""


def policy_names(program: Program) -> list[str]:
    """The variables that are ops tables of sched_ext."""
    return [name for name, kind, _, _ in _struct_ops(program) if kind in KINDS]


def _struct_ops(program: Program) -> Iterator[tuple[str, str, int, Symbol]]:
    """Every struct_ops: its variable, the kernel's name of its type, the type, its symbol."""
    for section_name in SECTIONS:
        section = program.elf.named(section_name)
        if section is None:
            continue
        symbols = {symbol.name: symbol for symbol in program.elf.symbols if symbol.section == section.index}
        for variable in program.btf.members(program.btf.find(section_name, DATASEC)):
            type_id = program.btf.resolve(program.btf.get(variable.type_id).value)
            if variable.name in symbols:
                yield variable.name, program.btf.get(type_id).name.split("___")[0], type_id, symbols[variable.name]


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


def apply_arguments(
    program: Program, ops: Ops, arguments: Sequence[str], kernel_constants: Mapping[str, int] | None = None
) -> None:
    """Write NAME=VALUE words into constants and ops as guest/loader.c does; ObjectError where it would fail."""
    settable = {constant.name: constant for constant in constants(program)}
    for argument in arguments:
        split = split_word(argument)
        if split is None:
            raise ObjectError(f"'{argument}' is not NAME=VALUE", "knob")
        name, value = split
        if name.startswith("ops."):
            _set_ops(ops, name, value, kernel_constants or {})
            continue
        constant = settable.get(name)
        if constant is None:
            raise ObjectError(f"the object has no variable '{name}' in .rodata", "knob")
        grows = is_resizable(program.btf, constant.section, name)
        encoded = _encode(program.btf, constant.type_id, value, 0, resizable=grows)
        if encoded is None:
            raise ObjectError(f"'{value}' does not fit variable '{name}'", "knob")
        write(program, constant, encoded)


def _set_ops(ops: Ops, name: str, value: str, kernel_constants: Mapping[str, int]) -> None:
    if name == OPS_TIMEOUT and value.isdigit() and len(value) <= 10:  # the loader only ever lowers it
        if not ops.numbers["timeout_ms"] or ops.numbers["timeout_ms"] > int(value):
            ops.numbers["timeout_ms"] = int(value)
    elif name == OPS_FLAG:
        for flag in value.split(","):
            if kernel_constants and flag not in kernel_constants:
                raise ObjectError(f"this kernel has no flag '{flag}'", "knob")
            ops.numbers["flags"] |= kernel_constants.get(flag, 0)
    elif name != OPS_USE:
        raise ObjectError(f"'{name}={value}' is no setting of the loader", "knob")


def _encode(btf: Btf, type_id: int, text: str, depth: int, *, resizable: bool = False) -> bytes | None:
    """The bytes of a knob's value; None when it does not fit. The rest of a list stays as it was compiled."""
    type_id = btf.resolve(type_id)
    kind, size = btf.get(type_id).kind, btf.size(type_id)
    if kind == ARRAY and depth < 2:
        element, count = btf.array(type_id)
        if not count or size > limits.FILE_BYTES:
            return None
        if depth == 0 and resizable:
            count = MOST_CPUS
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
