# SPDX-License-Identifier: Apache-2.0
"""Where a policy leaves out no more than a kick, since the CPU that would kick, or be kicked, is off line.

A CPU that goes off line cannot kick: its own interrupt would never come (`sx_can_kick` in bpf/include/sx/cpu.h says
what becomes of it), and the kernel reschedules the CPU for which its last steps wake somebody. One that is off line
looks for no work. So nothing is lost where the one way does nothing, and the other only claims an idle CPU and kicks.
"""

from __future__ import annotations

from collections.abc import Mapping

from verifier_vm.object.decode import BY_REGISTER, CALL, EXIT, JMP, JMP32, LD, LDDW, LDX, ST, STX, Instruction
from verifier_vm.object.flow import MOV, Flow, effects
from verifier_vm.object.kernel import HELPERS, KICK_IDLE, kernel_name
from verifier_vm.object.program import Program

Graph = Mapping[int, tuple[int, ...]]  # by pc, where control may go next
KICK, TEST = "scx_bpf_kick_cpu", "bpf_cpumask_test_cpu"
CLAIMS = frozenset(("scx_bpf_pick_idle_cpu", "scx_bpf_test_and_clear_cpu_idle"))
LOOKS = frozenset((TEST, "scx_bpf_get_online_cpumask", "scx_bpf_put_cpumask", "get_smp_processor_id"))
MOST = 200  # instructions that one of the ways may have
RESULT = 1  # the bit of what a function returns


def leaves_out_a_kick(
    program: Program, graph: Graph, flow: Flow, pc: int, off_line: int, *, own: bool, returns: bool
) -> bool:
    """Whether the jump at `pc` on whether a CPU is on line has such an `off_line` way (0: where it jumps, 1: on).

    `own`: the CPU is the executing one. `returns`: the function returns something.
    """
    on, to = graph[pc]
    without, with_kick = (to, on) if off_line == 0 else (on, to)
    meeting = _meeting(graph, pc, without)
    if meeting is None:
        return False
    nothing, more = _between(graph, without, meeting), _between(graph, with_kick, meeting)
    if len(nothing) > MOST or len(more) > MOST or pc in nothing | more:
        return False
    cpu = None if own else _tested(program, pc)
    if not own and cpu is None:
        return False
    written = 0
    for at in nothing | more:
        instruction = program.code[at]
        if instruction is None or not _is_harmless(program, at, instruction, cpu, kicks=at in more):
            return False
        written |= effects(instruction, flow.counts)[1]
    read = flow.live[meeting] & ~(0 if returns else RESULT)
    return not written & read and not (cpu is not None and written & 1 << cpu)


def _is_harmless(program: Program, at: int, instruction: Instruction, cpu: int | None, *, kicks: bool) -> bool:
    if instruction.code == JMP | CALL:
        name = _called(instruction)
        return name in LOOKS or (kicks and _only_kicks(program, at, name, cpu))
    stores = instruction.kind in (ST, STX) or (instruction.kind == LD and instruction.code != LDDW)
    return not stores and instruction.code != JMP | EXIT


def _only_kicks(program: Program, at: int, name: str, cpu: int | None) -> bool:
    """Whether a call wakes an idle CPU, or claims it for that; of a `cpu` that is off line, whether it kicks that."""
    if cpu is not None:
        return name == KICK and _set_to(program, at, 1)[0] == cpu
    return name in CLAIMS or (name == KICK and _set_to(program, at, 2) == (None, KICK_IDLE))


def _called(instruction: Instruction) -> str:
    reference = instruction.reference
    if reference is None or reference.kind == "function":
        return ""
    return HELPERS.get(reference.offset, ("", 0))[0] if reference.kind == "helper" else kernel_name(reference.name)


def _set_to(program: Program, at: int, register: int) -> tuple[int | None, int | None]:
    """(register, number) that a register was set to in the straight code before a call."""
    for before in range(at - 1, max(at - 12, -1), -1):
        instruction = program.code[before]
        if instruction is None:
            continue
        if instruction.kind in (JMP, JMP32):
            break
        if instruction.dst == register and instruction.kind not in (ST, STX):
            if instruction.code == LDDW and instruction.reference is None:  # an enumerator by CO-RE
                return None, instruction.imm
            if instruction.code & 0xF0 != MOV or instruction.kind in (LD, LDX) or instruction.off:
                break
            by_register = instruction.code & BY_REGISTER
            return (instruction.src, None) if by_register else (None, instruction.imm)
    return None, None


def _tested(program: Program, pc: int) -> int | None:
    """The register that keeps the number of the CPU of which the last call before a jump asks."""
    for at in range(pc - 1, max(pc - 12, -1), -1):
        instruction = program.code[at]
        if instruction is not None and instruction.code == JMP | CALL and _called(instruction) == TEST:
            kept = _set_to(program, at, 1)[0]
            unchanged = all((i := program.code[x]) is None or i.dst != kept or i.kind in (JMP, JMP32, ST, STX)
                            for x in range(at, pc))  # fmt: skip
            return kept if kept is not None and 6 <= kept <= 9 and unchanged else None
    return None


def _meeting(graph: Graph, pc: int, first: int) -> int | None:
    """The first instruction that every way on from `pc` comes by, looked for from `first` on."""
    order, seen = [first], {first}
    for at in order:
        if at not in graph:
            return None
        if _always(graph, pc, at):
            return at
        if len(order) > MOST:
            return None
        for to in graph[at]:
            if to not in seen:
                seen.add(to)
                order.append(to)
    return None


def _always(graph: Graph, pc: int, through: int) -> bool:
    """Whether no way from `pc` ends, or comes to `pc` again, but by `through`."""
    seen: set[int] = set()
    pending = [to for to in graph[pc] if to != through]
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        if at == pc or not graph.get(at):
            return False
        seen.add(at)
        pending += [to for to in graph[at] if to != through]
    return True


def _between(graph: Graph, first: int, end: int) -> set[int]:
    """What is executed from `first` on before `end`."""
    found: set[int] = set()
    pending = [first]
    while pending:
        at = pending.pop()
        if at != end and at not in found:
            found.add(at)
            pending += graph.get(at, ())
    return found
