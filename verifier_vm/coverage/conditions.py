# SPDX-License-Identifier: Apache-2.0
"""The conditional jumps of a policy's object: which of the kernel's are its own, and which ways are error paths.

The kernel's BPF verifier puts jumps of its own beside a policy's (a lookup or a loop inlined, a division guarded, a
load that may fault), and takes out those that cannot be taken. The JIT turns each jump that is left into a comparison
and a jump, which are known by their place in the source and their bytes.

Error paths, which do not count when nobody took them:
- where every way on ends in scx_bpf_error() or scx_bpf_exit();
- where a pointer is null that can be so by failure alone, and that the BPF verifier wants looked at: an element of an
  array, a CPU's or a task's own storage, memory just asked for. A key that is not in a hash is no failure and counts.
bpf_for() is one condition, whether the loop ends, however often the compiler writes it; what it compares with its
bounds for the BPF verifier's sake is none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from verifier_vm.object import limits
from verifier_vm.object.btfext import LINE_BYTES, read_tables, records
from verifier_vm.object.decode import ALU64, BY_REGISTER, CALL, EXIT, JA, JMP, JMP32, LDX, ST, STX, Instruction
from verifier_vm.object.flow import MOV, successors
from verifier_vm.object.kernel import ARRAYS, ENDING, HELPERS, kernel_name
from verifier_vm.object.ops import read_ops
from verifier_vm.object.program import Function, Program, read_program

Place = tuple[str, int, int]  # file, line, column
Condition = tuple[Place, bytes, int]  # … the comparison as the JIT writes it, the condition's number in x86
# By failure alone: helpers and kfuncs. A lookup counts by the map's type.
FAILING = frozenset(("task_storage_get", "cgrp_storage_get", "per_cpu_ptr", "ringbuf_reserve", "map_lookup_percpu_elem",
                     "bpf_obj_new_impl", "bpf_cpumask_create", "bpf_task_acquire", "bpf_cgroup_acquire"))  # fmt: skip
LOOP = ("bpf_iter_num_next",)
LEFT_OUT = ("exit", "dump", "dump_cpu", "dump_task")  # callbacks that run when something has gone wrong, or when asked
JEQ, JNE, JSET, MAY_GOTO = 0x10, 0x50, 0x40, 0xE0
# By BPF's operation: the condition's number in x86's Jcc. By BPF's register: x86's.
_CONDITIONS = {0x10: 4, 0x20: 7, 0x30: 3, 0x40: 5, 0x50: 5, 0x60: 15, 0x70: 13, 0xA0: 2, 0xB0: 6, 0xC0: 12, 0xD0: 14}
_REGISTERS = (0, 7, 6, 2, 1, 8, 3, 13, 14, 15, 5)
JUMPED, WENT_ON = 0, 1


@dataclass(slots=True)
class Conditions:
    """An object's conditional jumps; `error` are the ways (0: jumped, 1: went on) that are error paths.

    `bounds` are loops' comparisons with their bounds, `loop_ends` those by which they end, with that way. `callbacks`
    are the functions of the callbacks that count.
    """

    known: set[Condition] = field(default_factory=set)
    by_place: dict[Place, set[Condition]] = field(default_factory=dict)
    error: dict[Condition, set[int]] = field(default_factory=dict)
    bounds: set[Condition] = field(default_factory=set)
    loop_ends: dict[Condition, int] = field(default_factory=dict)
    callbacks: frozenset[str] = frozenset()


def read_conditions(data: bytes) -> Conditions:
    """The conditional jumps of an object; ObjectError when it is none."""
    program = read_program(data)
    ops = read_ops(program)
    places = _places(program)
    found = Conditions()
    found.callbacks = frozenset(
        program.functions[pc].name for member, pc in ops.callbacks.items() if member not in LEFT_OUT
    )
    loops = _loops(program, places)
    done: set[int] = set()
    for function in sorted(program.functions.values(), key=lambda f: (f.start, -f.end)):
        if function.start not in done:
            done.update(range(function.start, function.end))
            _read_function(program, function, places, loops, found)
    return found


def _read_function(
    program: Program, function: Function, places: dict[int, Place], loops: set[Place], found: Conditions
) -> None:
    graph = {pc: successors(pc, i) for pc in range(function.start, function.end) if (i := program.code[pc])}
    doomed, nulls = _doomed(program, graph), _nulls(program, graph)
    place: Place = ("", 0, 0)
    for pc in range(function.start, function.end):
        place = places.get(pc, place)
        instruction = program.code[pc]
        if instruction is None or len(graph[pc]) < 2:
            continue
        condition = (place, comparison(instruction), _CONDITIONS.get(instruction.code & 0xF0, -1))
        on, to = graph[pc]
        ways = {way for way, pc_after in ((WENT_ON, on), (JUMPED, to)) if pc_after in doomed}
        if pc in nulls:
            ways.add(nulls[pc])
        # One source line is compiled in several places, and what is an error path in one must be so in each.
        ways &= found.error.get(condition, ways)
        found.error[condition] = ways
        found.known.add(condition)
        found.by_place.setdefault(place, set()).add(condition)
        if place in loops and _is_null_check(instruction):
            found.loop_ends[condition] = _null_way(instruction)
        elif place in loops:
            found.bounds.add(condition)


def comparison(instruction: Instruction) -> bytes:
    """What the kernel's x86 JIT writes before the jump (arch/x86/net/bpf_jit_comp.c); empty for may_goto."""
    op, dst = instruction.code & 0xF0, _REGISTERS[instruction.dst]
    if op == MAY_GOTO:
        return b""
    wide = 0x48 if instruction.kind == JMP else 0
    rex = wide | (0x41 if dst > 7 else 0)
    if instruction.code & BY_REGISTER:
        return _by_register(rex, 0x85 if op == JSET else 0x39, dst, _REGISTERS[instruction.src])
    if op != JSET and instruction.imm == 0:
        return _by_register(rex, 0x85, dst, dst)
    prefix = bytes([rex]) if rex else b""
    if op == JSET:
        return prefix + bytes([0xF7, 0xC0 | dst & 7]) + struct.pack("<i", instruction.imm)
    if -128 <= instruction.imm < 128:
        return prefix + bytes([0x83, 0xF8 | dst & 7]) + struct.pack("<b", instruction.imm)
    return prefix + bytes([0x81, 0xF8 | dst & 7]) + struct.pack("<i", instruction.imm)


def _by_register(rex: int, opcode: int, dst: int, src: int) -> bytes:
    rex |= 0x44 if src > 7 else 0
    return (bytes([rex]) if rex else b"") + bytes([opcode, 0xC0 | (src & 7) << 3 | dst & 7])


def _places(program: Program) -> dict[int, Place]:
    """By pc, where a line or column begins."""
    section = program.elf.named(".BTF.ext")
    if section is None or not section.data:
        return {}
    bases = {s.name: program.base[s.index] for s in program.elf.sections if s.index in program.base}
    found: dict[int, Place] = {}
    for _, name, places in records(section.data, read_tables(section.data)[1], LINE_BYTES, limits.LINES):
        base = bases.get(program.btf.string(name))
        for place in places if base is not None else ():
            at, file, _, position = struct.unpack_from("<IIII", section.data, place)
            name_of = program.btf.string(file).removeprefix("./")
            found[(base or 0) + at // 8] = (name_of, position >> 10, position & 1023)
    return found


def _loops(program: Program, places: dict[int, Place]) -> set[Place]:
    """Where bpf_for() and the like stand."""
    place: Place = ("", 0, 0)
    found = set()
    for pc, instruction in enumerate(program.code):
        place = places.get(pc, place)
        if instruction is not None and instruction.code == JMP | CALL and _called(instruction) in LOOP:
            found.add(place)
    return found


def _called(instruction: Instruction) -> str:
    reference = instruction.reference
    if reference is None or reference.kind == "function":
        return ""
    if reference.kind == "helper":
        return HELPERS.get(reference.offset, ("", 0))[0]
    return kernel_name(reference.name)


def _doomed(program: Program, graph: dict[int, tuple[int, ...]]) -> set[int]:
    """From where on every way to the end of the function calls scx_bpf_error() or scx_bpf_exit()."""
    escaping: set[int] = set()  # from where some way does not
    before: dict[int, list[int]] = {}
    for pc, following in graph.items():
        for to in following:
            before.setdefault(to, []).append(pc)

    def ends(pc: int) -> bool:
        instruction = program.code[pc]
        return instruction is not None and instruction.code == JMP | CALL and _called(instruction) in ENDING

    pending = [pc for pc, i in ((pc, program.code[pc]) for pc in graph) if i is not None and i.code == JMP | EXIT]
    while pending:
        pc = pending.pop()
        if pc not in escaping and not ends(pc):
            escaping.add(pc)
            pending += before.get(pc, ())
    return _reaching([pc for pc in graph if ends(pc)], before) - escaping


def _reaching(ends: list[int], before: dict[int, list[int]]) -> set[int]:
    """From where some way comes to one of them: a loop without end comes to none."""
    found: set[int] = set()
    pending = list(ends)
    while pending:
        pc = pending.pop()
        if pc not in found:
            found.add(pc)
            pending += before.get(pc, ())
    return found


def _is_null_check(instruction: Instruction) -> bool:
    op = instruction.code & 0xF0
    by_value = not instruction.code & BY_REGISTER and instruction.imm == 0
    return instruction.kind == JMP and op in (JEQ, JNE) and by_value


def _nulls(program: Program, graph: dict[int, tuple[int, ...]]) -> dict[int, int]:
    """By pc of a jump that compares such a pointer with null: which of its ways is the null one."""
    held: dict[int, frozenset[int]] = {}
    first = min(graph, default=0)
    pending: list[tuple[int, frozenset[int]]] = [(first, frozenset())]
    while pending:
        pc, now = pending.pop()
        known = held.get(pc)
        if pc not in graph or (known is not None and known <= now):
            continue
        now = held[pc] = now if known is None else now & known
        after = _after(program, pc, now)
        pending += [(to, after) for to in graph[pc]]
    found = {}
    for pc, now in held.items():
        instruction = program.code[pc]
        if instruction is not None and _is_null_check(instruction) and instruction.dst in now and len(graph[pc]) == 2:
            found[pc] = _null_way(instruction)
    return found


def _null_way(instruction: Instruction) -> int:
    return JUMPED if instruction.code & 0xF0 == JEQ else WENT_ON


def _after(program: Program, pc: int, now: frozenset[int]) -> frozenset[int]:
    """Which registers (0 to 10) and stack slots (their offsets, below 0) hold such a pointer after an instruction."""
    instruction = program.code[pc]
    if instruction is not None and instruction.code == JMP | CALL:
        kept = frozenset(place for place in now if place < 0 or place > 5)
        return kept | {0} if _may_fail(program, pc, instruction) else kept
    return _moved(instruction, now) if instruction is not None else now


def _moved(instruction: Instruction, now: frozenset[int]) -> frozenset[int]:
    kind, dst, src = instruction.kind, instruction.dst, instruction.src
    whole = instruction.code & 0x18 == 0x18
    if kind == STX and dst == 10:
        kept = frozenset(place for place in now if place >= 0 or abs(place - instruction.off) >= 8)
        return kept | {instruction.off} if whole and src in now else kept
    if kind in (JMP, JMP32, STX) or kind == ST:
        return now
    if kind == ALU64 and instruction.code & 0xF0 == MOV and instruction.code & BY_REGISTER and src in now:
        return now | {dst}
    if kind == LDX and src == 10 and whole and instruction.off in now:
        return now | {dst}
    return now - {dst}


def _may_fail(program: Program, pc: int, instruction: Instruction) -> bool:
    """Whether it returns a pointer that is null by failure alone."""
    name = _called(instruction)
    if name == "map_lookup_elem":
        looked_up = _map_before(program, pc)
        return looked_up in program.maps and program.maps[looked_up].kind in ARRAYS
    return name in FAILING


def _map_before(program: Program, pc: int) -> str:
    """The map in register 1, where it was loaded in the same straight code."""
    for at in range(pc - 1, max(pc - 16, -1), -1):
        instruction = program.code[at]
        if instruction is None:
            continue
        if instruction.kind in (JMP, JMP32) and instruction.code & 0xF0 != JA:
            return ""
        if instruction.dst == 1 and instruction.kind != STX:
            reference = instruction.reference
            return reference.name if reference is not None and reference.kind == "map" else ""
    return ""
