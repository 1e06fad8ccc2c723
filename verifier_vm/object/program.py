# SPDX-License-Identifier: Apache-2.0
"""The whole of an object's code as one array of instructions, with what relocations and BTF make of each.

A pc is an index into that array. Every executable section is followed by an empty slot, so that no pc runs on from one
into the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from verifier_vm.object import limits
from verifier_vm.object.btf import ARRAY, DATASEC, PTR, STRUCT, Btf
from verifier_vm.object.btfext import FIELD_OFFSET, Extra, read_extra
from verifier_vm.object.decode import CALL, JMP, LDDW, Instruction, Reference, decode
from verifier_vm.object.elf import R_BPF_64_32, R_BPF_64_64, STT_FUNC, Elf, Section, Symbol, read_elf
from verifier_vm.object.errors import ObjectError

PSEUDO_CALL, PSEUDO_KFUNC = 1, 2


@dataclass(frozen=True, slots=True)
class Function:
    """A function: its first pc and the one past its last."""

    name: str
    section: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Map:
    """A map as .maps declares it; 0 for what is not said. `bools` are offsets of bools in its value."""

    name: str
    kind: int
    max_entries: int
    key_size: int
    bools: frozenset[int] = frozenset()
    value_size: int = 0


@dataclass(slots=True)
class Program:
    """`base` is the pc of each executable section's first instruction; `functions` are by first pc.

    `open` are the places of `data`, by section and offset, whose value no one knows here; `externs` what the kernel's
    configuration says, by name.
    """

    elf: Elf
    btf: Btf
    extra: Extra
    code: list[Instruction | None]
    base: dict[int, int]
    functions: dict[int, Function]
    maps: dict[str, Map]
    lines: dict[int, tuple[str, int]]
    data: dict[str, bytes]
    open: set[tuple[str, int]] = field(default_factory=set)
    externs: dict[str, bytes] = field(default_factory=dict)

    def line_of(self, pc: int) -> int:
        """The pc at which the source line of an instruction begins; -1 where there is none in its function."""
        start = max((start for start in self.functions if start <= pc), default=0)
        return next((at for at in range(pc, start - 1, -1) if at in self.lines), -1)


def read_program(data: bytes) -> Program:
    """The program in an ELF object; ObjectError when there is none that can be read."""
    elf = read_elf(data)
    btf_section, extra_section = elf.named(".BTF"), elf.named(".BTF.ext")
    if btf_section is None or not btf_section.data:
        if not any(section.executable and section.data for section in elf.sections):
            raise ObjectError("it defines no policy: there is no code in the object", "ops")
        raise ObjectError("the object has no BTF (compile with -g)", "btf")
    btf = Btf(btf_section.data)
    extra = read_extra(extra_section.data if extra_section else b"", btf)
    code: list[Instruction | None] = []
    base: dict[int, int] = {}
    lines: dict[int, tuple[str, int]] = {}
    for section in elf.sections:
        if not section.executable:
            continue
        if len(code) + len(section.data) // 8 > limits.INSTRUCTIONS:
            raise ObjectError(f"the object has more than {limits.INSTRUCTIONS} instructions", "code")
        base[section.index] = len(code)
        lines.update((len(code) + at // 8, line) for at, line in extra.lines.get(section.name, {}).items())
        code += [*decode(section.data, section.name), None]
    data_sections = {section.name: section.data for section in elf.sections if not section.executable}
    program = Program(elf, btf, extra, code, base, {}, _maps(btf), lines, data_sections)
    _find_functions(program)
    for section in elf.sections:
        if section.executable:
            _relocate(program, section)
    return program


def undefined(program: Program) -> list[str]:
    """Symbols that neither the object has nor the kernel is asked for (`__ksym`, `__kconfig`): another file's."""
    known = {member.name for name in (".ksyms", ".kconfig")
             for member in program.btf.members(program.btf.find(name, DATASEC))}  # fmt: skip
    return sorted({symbol.name for symbol in program.elf.symbols if symbol.undefined and symbol.name} - known)


def _find_functions(program: Program) -> None:
    for symbol in program.elf.symbols:
        if symbol.kind != STT_FUNC or symbol.section not in program.base:
            continue
        section = program.elf.sections[symbol.section]
        if symbol.value % 8 or symbol.value + symbol.size > len(section.data) or symbol.size < 8:
            raise ObjectError(f"function '{symbol.name}' lies outside its section", "code")
        start = program.base[symbol.section] + symbol.value // 8
        if program.code[start] is None:
            raise ObjectError(f"function '{symbol.name}' begins between instructions", "code")
        program.functions[start] = Function(symbol.name, section.name, start, start + symbol.size // 8)
        if len(program.functions) > limits.FUNCTIONS:
            raise ObjectError(f"the object has more than {limits.FUNCTIONS} functions", "code")
    if sum(function.end - function.start for function in program.functions.values()) > len(program.code):
        raise ObjectError("functions of the object overlap", "code")


def _relocate(program: Program, section: Section) -> None:
    base = program.base[section.index]
    for offset, (kind, symbol) in program.elf.relocations.get(section.index, {}).items():
        instruction = program.code[base + offset // 8] if offset % 8 == 0 else None
        if instruction is None:
            raise ObjectError(f"a relocation in '{section.name}' lies between instructions", "code")
        if kind == R_BPF_64_64 and instruction.code == LDDW:
            instruction.reference = _referred(program, instruction, symbol)
        elif kind == R_BPF_64_32 and instruction.code == JMP | CALL:
            instruction.reference = _called(program, instruction, symbol)
    _relocate_calls(program, base, base + len(section.data) // 8)
    for offset, relocation in program.extra.relocations.get(section.name, {}).items():
        instruction = program.code[base + offset // 8] if offset < len(section.data) else None
        if instruction is not None and relocation.kind == FIELD_OFFSET:
            access = program.btf.access(relocation.type_id, relocation.access)
            struct = program.btf.get(program.btf.resolve(relocation.type_id)).name.split("___")[0]
            instruction.field = f"{struct}.{access[0]}" if access else ""


def _referred(program: Program, instruction: Instruction, symbol: Symbol) -> Reference:
    if not symbol.section:
        return Reference("extern", symbol.name)
    section = program.elf.sections[symbol.section]
    offset = symbol.value + (instruction.imm & 0xFFFFFFFF)
    if section.index in program.base:
        pc = program.base[section.index] + offset // 8
        return Reference("function", symbol.name, pc)
    if section.name == ".maps":
        return Reference("map", symbol.name)
    return Reference("data", section.name, offset)


def _called(program: Program, instruction: Instruction, symbol: Symbol) -> Reference:
    if not symbol.section:
        return Reference("extern", symbol.name)
    if symbol.section not in program.base:
        raise ObjectError(f"a call goes to '{symbol.name}', which is no code", "code")
    pc = program.base[symbol.section] + symbol.value // 8 + instruction.imm + 1
    return _entry(program, pc)


def _entry(program: Program, pc: int) -> Reference:
    function = program.functions.get(pc)
    if function is None:
        raise ObjectError("a call goes into the middle of a function", "code")
    return Reference("function", function.name, pc)


def _relocate_calls(program: Program, start: int, end: int) -> None:
    """Calls that need no relocation: helpers by number, and functions of the same section."""
    for pc in range(start, end):
        instruction = program.code[pc]
        if instruction is None or instruction.code != JMP | CALL or instruction.reference:
            continue
        if instruction.src == PSEUDO_CALL:
            instruction.reference = _entry(program, pc + 1 + instruction.imm)
        elif instruction.src == PSEUDO_KFUNC:
            instruction.reference = Reference("extern", f"kfunc#{instruction.imm}")
        else:
            instruction.reference = Reference("helper", str(instruction.imm), instruction.imm)


def _maps(btf: Btf) -> dict[str, Map]:
    maps = {}
    for variable in btf.members(btf.find(".maps", DATASEC)):
        definition = btf.resolve(btf.get(variable.type_id).value)
        if btf.get(definition).kind != STRUCT:
            continue
        numbers, bools = {}, frozenset[int]()
        for member in btf.members(definition):
            pointer = btf.get(btf.resolve(member.type_id))
            if pointer.kind != PTR:
                continue
            pointed = btf.resolve(pointer.value)
            if member.name in ("type", "max_entries", "key_size", "value_size") and btf.get(pointed).kind == ARRAY:
                numbers[member.name] = btf.array(pointed)[1]
            elif member.name == "key":
                numbers["key_size"] = btf.size(pointed)
            elif member.name == "value":
                bools = btf.bools(pointed)
                numbers["value_size"] = btf.size(pointed)
        size = numbers.get("key_size", 0)
        maps[variable.name] = Map(variable.name, numbers.get("type", 0), numbers.get("max_entries", 0), size, bools,
                                  numbers.get("value_size", 0))  # fmt: skip
    return maps


def own_lines(program: Program) -> set[int]:
    """The pcs at which a line of the policy's own begins: not a header's, nor the one that opens a function, to which
    the compiler also puts down how it ends."""
    pcs: set[int] = set()
    for function in program.functions.values():
        lines = {pc: at for pc in range(function.start, function.end) if (at := program.lines.get(pc))}
        own = {pc: line for pc, (file, line) in lines.items() if not file.endswith(".h")}
        opening = min(own.values(), default=0)
        pcs.update(pc for pc, line in own.items() if line != opening)
    return pcs
