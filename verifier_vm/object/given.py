# SPDX-License-Identifier: Apache-2.0
"""What the kernel hands to a policy, for proofs: between which numbers it lies, and from which callbacks code runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from verifier_vm.object.decode import CALL, JMP, JMP32
from verifier_vm.object.kernel import ARGUMENT_RANGES, ARGUMENTS, CPU_NUMBERS, RESULT_RANGES, STATIC_PRIO
from verifier_vm.object.program import Program
from verifier_vm.object.ranges import Range

CPU_ID = "get_smp_processor_id"
OF_A_CPU = ("cpu", "prev_cpu", "scx_bpf_task_cpu", CPU_ID)  # of one that is there, unlike nr_cpu_ids
FIELDS = {"task_struct.static_prio": STATIC_PRIO}  # of any task
TIMER_CALLBACK = 170  # the helper bpf_timer_set_callback
AT_ONCE = frozenset((164, 181))  # bpf_for_each_map_elem, bpf_loop: they call back before they return
TIMER, ANYTHING = "timer", "?"
# Where the executing CPU is on line: the kernel calls dispatch of one whose runqueue is, no task of the policy's runs
# on another, and timers leave with the interrupts (scx_rq_online, sched_cpu_deactivate, hrtimers_cpu_dying).
ON_LINE = frozenset(("dispatch", "running", "tick", TIMER))
# With interrupts off: a CPU goes off line by itself, and so not within one of these.
INTERRUPTS_OFF = frozenset(("select_cpu", "enqueue", "dequeue", "dispatch", "runnable", "running", "stopping",
                            "quiescent", "tick", "update_idle"))  # fmt: skip


def argument(member: str, offset: int, size: int, cpus: int) -> Range | None:
    """What a callback's context holds at an offset (bytes); with `cpus`, on a machine with CPUs of lower numbers."""
    names = ARGUMENTS.get(member, ())
    if offset % 8 or not 0 <= offset // 8 < len(names) or size < 4:
        return None
    found = _limited(names[offset // 8], ARGUMENT_RANGES, cpus)
    return found and found._replace(wide=size == 4)


def result(name: str, cpus: int) -> Range | None:
    """What a helper or kfunc returns; None where nothing is known."""
    return _limited(name, RESULT_RANGES, cpus)


def field(name: str, size: int) -> Range | None:
    """What a field of the kernel's holds, by its name in CO-RE; None where nothing is known."""
    return Range(*FIELDS[name]) if name in FIELDS and size == 4 else None


def _limited(name: str, known: Mapping[str, tuple[int, int]], cpus: int) -> Range | None:
    if name not in known:
        return None
    low, high = known[name]
    if name in OF_A_CPU and known[name] == CPU_NUMBERS and cpus:
        high = cpus - 1
    return Range(low, high, wide=False, own=name == CPU_ID)


def entries(program: Program) -> Iterable[int]:
    """What the kernel may call: each function that no other one calls, or whose address is taken."""
    references = [(code, code.reference) for code in program.code if code and code.reference]
    called = {to.offset for code, to in references if to.kind == "function" and code.code == JMP | CALL}
    taken = {to.offset for code, to in references if to.kind == "function" and code.code != JMP | CALL}
    return sorted((program.functions.keys() - called) | taken)


def relocated(program: Program) -> set[int]:
    """Where libbpf puts in what the kernel's types say."""
    return {
        program.base[section.index] + offset // 8
        for section in program.elf.sections if section.index in program.base
        for offset in program.extra.relocations.get(section.name, {})
    }  # fmt: skip


def reached_from(program: Program, callbacks: Mapping[str, int]) -> dict[int, frozenset[str]]:
    """By first pc of each function, in which callbacks it runs; TIMER for a timer's, ANYTHING for what else calls."""
    callers: dict[int, set[int]] = defaultdict(set)
    found: dict[int, set[str]] = defaultdict(set)
    functions = sorted((function.start, function.end) for function in program.functions.values())
    for member, pc in callbacks.items():
        found[pc].add(member)
    for start, end in functions:
        for pc in range(start, end):
            instruction = program.code[pc]
            reference = instruction.reference if instruction else None
            if instruction is None or reference is None or reference.kind != "function":
                continue
            helper = 0 if instruction.code == JMP | CALL else _given_to(program, pc, end)
            if instruction.code == JMP | CALL or helper in AT_ONCE:
                callers[reference.offset].add(start)
            else:
                found[reference.offset].add(TIMER if helper == TIMER_CALLBACK else ANYTHING)
    for start, _ in functions:
        if not callers[start] and not found[start]:
            found[start].add(ANYTHING)
    _spread(found, callers)
    return {start: frozenset(members) for start, members in found.items()}


def _spread(found: dict[int, set[str]], callers: Mapping[int, Iterable[int]]) -> None:
    changed = True
    while changed:
        changed = False
        for start, sites in callers.items():
            more = set().union(*(found[site] for site in sites)) - found[start]
            found[start] |= more
            changed |= bool(more)


def _given_to(program: Program, pc: int, end: int) -> int:
    """The helper that is called next with what is loaded at `pc` as its second argument; 0 where that is not plain."""
    loaded = program.code[pc]
    if loaded is None or loaded.dst != 2:
        return 0
    for at in range(pc + 1, end):
        instruction = program.code[at]
        if instruction is None:
            continue
        if instruction.code == JMP | CALL:
            reference = instruction.reference
            return reference.offset if reference is not None and reference.kind == "helper" else 0
        if instruction.kind in (JMP, JMP32) or instruction.dst == 2:
            return 0
    return 0
