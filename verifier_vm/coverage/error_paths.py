# SPDX-License-Identifier: Apache-2.0
"""Error paths, which do not count when nobody took them:
- where every way on ends in scx_bpf_error() or scx_bpf_exit();
- where a pointer is null that can be so by failure alone, and that the BPF verifier wants looked at: an element of an
  array, a CPU's or a task's own storage, memory just asked for, and what a function of the policy's own returns that
  is null after such a failure or after scx_bpf_error() only. A key that is not in a hash is no failure and counts.
"""

from __future__ import annotations

from verifier_vm.object.decode import ALU, ALU64, BY_REGISTER, CALL, EXIT, JA, JMP, JMP32, LDX, ST, STX, Instruction
from verifier_vm.object.flow import MOV, successors
from verifier_vm.object.kernel import ARRAYS, ENDING, HELPERS, kernel_name
from verifier_vm.object.program import Program

Graph = dict[int, tuple[int, ...]]  # by pc, where control may go next
# By failure alone: helpers and kfuncs. A lookup counts by the map's type.
FAILING = frozenset(("task_storage_get", "cgrp_storage_get", "per_cpu_ptr", "ringbuf_reserve", "map_lookup_percpu_elem",
                     "bpf_obj_new_impl", "bpf_cpumask_create", "bpf_task_acquire", "bpf_cgroup_acquire"))  # fmt: skip
JEQ, JNE, ADD = 0x10, 0x50, 0x00
JUMPED, WENT_ON = 0, 1
FAILED = 99  # no register and no slot: that something has failed on the way here


def called(instruction: Instruction) -> str:
    reference = instruction.reference
    if reference is None or reference.kind == "function":
        return ""
    if reference.kind == "helper":
        return HELPERS.get(reference.offset, ("", 0))[0]
    return kernel_name(reference.name)


def doomed(program: Program, graph: Graph) -> set[int]:
    """From where on every way to the end of the function calls scx_bpf_error() or scx_bpf_exit()."""
    escaping: set[int] = set()  # from where some way does not
    before: dict[int, list[int]] = {}
    for pc, following in graph.items():
        for to in following:
            before.setdefault(to, []).append(pc)

    def ends(pc: int) -> bool:
        instruction = program.code[pc]
        return instruction is not None and instruction.code == JMP | CALL and called(instruction) in ENDING

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


def is_null_check(instruction: Instruction) -> bool:
    op = instruction.code & 0xF0
    by_value = not instruction.code & BY_REGISTER and instruction.imm == 0
    return instruction.kind == JMP and op in (JEQ, JNE) and by_value


def nulls(program: Program, graph: Graph, known: dict[int, bool] | None = None) -> dict[int, int]:
    """By pc of a jump that compares such a pointer with null: which of its ways is the null one.

    `known` keeps what is found out of the policy's own functions, by their first pc.
    """
    found = {}
    for pc, now in _held(program, graph, {} if known is None else known).items():
        instruction = program.code[pc]
        if instruction is not None and is_null_check(instruction) and instruction.dst in now and len(graph[pc]) == 2:
            found[pc] = null_way(instruction)
    return found


def _held(program: Program, graph: Graph, known: dict[int, bool]) -> dict[int, frozenset[int]]:
    """By pc, the places that hold such a pointer, and whether something has failed, before the instruction there."""
    held: dict[int, frozenset[int]] = {}
    pending: list[tuple[int, frozenset[int]]] = [(min(graph, default=0), frozenset())]
    while pending:
        pc, now = pending.pop()
        before = held.get(pc)
        if pc not in graph or (before is not None and before <= now):
            continue
        now = held[pc] = now if before is None else now & before
        after = _after(program, pc, now, known)
        instruction = program.code[pc]
        ways = [after] * len(graph[pc])
        if instruction is not None and is_null_check(instruction) and len(ways) == 2:
            null = {JUMPED: 1, WENT_ON: 0}[null_way(instruction)]  # the second of two is where it jumps to
            ways[null] |= {FAILED} if instruction.dst in now else set()
            ways[1 - null] |= {instruction.dst}  # what is not null is so by no other reason either
        pending += zip(graph[pc], ways, strict=True)
    return held


def _null_by_failure(program: Program, first: int, known: dict[int, bool]) -> bool:
    """Whether a function of the policy's own returns what is null by failure alone."""
    if first not in known:
        known[first] = False  # while it is not known: a function that calls itself
        end = next((function.end for function in program.functions.values() if function.start == first), first)
        graph = {pc: successors(pc, i) for pc in range(first, end) if (i := program.code[pc])}
        held = _held(program, graph, known)
        ends = [pc for pc in held if (i := program.code[pc]) is not None and i.code == JMP | EXIT]
        known[first] = bool(ends) and all(0 in held[pc] for pc in ends)
    return known[first]


def null_way(instruction: Instruction) -> int:
    return JUMPED if instruction.code & 0xF0 == JEQ else WENT_ON


def _after(program: Program, pc: int, now: frozenset[int], known: dict[int, bool]) -> frozenset[int]:
    """Which registers (0 to 10) and stack slots (their offsets, below 0) hold such a pointer after an instruction, and
    FAILED where something has.
    """
    instruction = program.code[pc]
    if instruction is not None and instruction.code == JMP | CALL:
        kept = frozenset(place for place in now if place < 0 or place > 5)
        kept |= {FAILED} if called(instruction) in ENDING else set()
        return kept | {0} if _may_fail(program, pc, instruction, known) else kept
    return _moved(instruction, now) if instruction is not None else now


def _moved(instruction: Instruction, now: frozenset[int]) -> frozenset[int]:
    kind, dst, src = instruction.kind, instruction.dst, instruction.src
    whole = instruction.code & 0x18 == 0x18
    if kind == STX and dst == 10:
        kept = frozenset(place for place in now if place >= 0 or abs(place - instruction.off) >= 8)
        return kept | {instruction.off} if whole and src in now else kept
    if kind in (JMP, JMP32, STX) or kind == ST:
        return now
    if kind in (ALU, ALU64) and _keeps(instruction, now):
        return now | {dst}
    if kind == LDX and src == 10 and whole and instruction.off in now:
        return now | {dst}
    return now - {dst}


def _keeps(instruction: Instruction, now: frozenset[int]) -> bool:
    """Whether what arithmetic leaves in its register is null by failure alone."""
    op, value = instruction.code & 0xF0, None if instruction.code & BY_REGISTER else instruction.imm
    if op == MOV and value is None:
        return instruction.kind == ALU64 and instruction.src in now
    if op == MOV:
        return value == 0 and FAILED in now
    # Further into what it points to.
    return op == ADD and instruction.kind == ALU64 and instruction.dst in now and value is not None and value > 0


def _may_fail(program: Program, pc: int, instruction: Instruction, known: dict[int, bool]) -> bool:
    """Whether it returns a pointer that is null by failure alone."""
    reference = instruction.reference
    if reference is not None and reference.kind == "function":
        return _null_by_failure(program, reference.offset, known)
    name = called(instruction)
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
