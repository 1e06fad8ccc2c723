# SPDX-License-Identifier: Apache-2.0
"""The `object` stage: what can be said of a compiled policy before any kernel sees it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from policy_lake.knobs import OPS_USE, values_of
from policy_lake.model import Finding, Stage
from verifier_vm.object import limits
from verifier_vm.object.cgroup_places import check_cgroups
from verifier_vm.object.check_counts import check_counts
from verifier_vm.object.check_cpus import check_cpus
from verifier_vm.object.check_exit import check_exit
from verifier_vm.object.check_flags import check_flags
from verifier_vm.object.check_hotplug import check_hotplug
from verifier_vm.object.check_paths import check_paths
from verifier_vm.object.check_queues import check_queues
from verifier_vm.object.check_refills import check_refills
from verifier_vm.object.check_slices import check_slices, refuted_bugs
from verifier_vm.object.check_switches import check_switches
from verifier_vm.object.check_table import check_table
from verifier_vm.object.check_tables import check_tables
from verifier_vm.object.check_times import check_times
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.evidence import evidence
from verifier_vm.object.facts import Facts
from verifier_vm.object.filled import KernelValues, constants, fill, needs_config
from verifier_vm.object.kernel import FIRST
from verifier_vm.object.ops import apply_arguments, read_ops
from verifier_vm.object.program import Function, read_program, undefined
from verifier_vm.object.unfilled import explain
from verifier_vm.object.walk import Walk

NOTHING = KernelValues()
OURS = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)  # to mend
FAILED = "the analysis failed"
CHECKS = (
    check_paths,
    check_queues,
    check_counts,
    check_switches,
    check_hotplug,
    check_times,
    check_tables,
    check_cgroups,
    check_cpus,
    check_slices,
    check_refills,
    check_flags,
    check_exit,
    check_table,
)  # what ends a machine before what is missing
ORDER = {"reject": 0, "suspicion": 1, "unknown": 2, "note": 3}
NAMED = 4  # of symbols that are missing
COMPILE = "Build the object with clang --target=bpf -g -c."
ADVICE = {
    "elf": COMPILE,
    "code": COMPILE,
    "size": "Make the globals smaller (fewer or smaller elements of the largest array), or keep them in a map that"
    " takes memory for what is in it alone (a hash with BPF_F_NO_PREALLOC, task storage).",
    "btf": "Build with -g, and do not strip .BTF.",
    "ops": 'A policy is one struct sched_ext_ops in SEC(".struct_ops.link"), with the programs that it names.',
    "link": "Give the file that defines it with -l FILE; what the kernel has is declared with __ksym.",
    "knob": "Set only knobs that the policy declares as const volatile.",
}


@dataclass(frozen=True, slots=True)
class Analysis:
    """The stage, and what it knows better than the source: lines that no path reaches with the constants that it will
    be loaded with, and bugs that it has not.
    """

    stage: Stage
    dead: frozenset[tuple[str, int]] = frozenset()
    refuted: frozenset[str] = frozenset()


def analyse_object(data: bytes, arguments: Sequence[str] = (), kernel: KernelValues = NOTHING) -> Stage:
    """The stage "object" for an ELF object and the words its loader gets; never raises for what is in either.

    `kernel` is what a loader would take from the kernel. ok is False exactly when some finding is a rejection.
    `seconds` is wall time. What could not be known is `unknown`.
    """
    return analyse(data, arguments, kernel).stage


def analyse(data: bytes, arguments: Sequence[str] = (), kernel: KernelValues = NOTHING) -> Analysis:
    """The same, with what it says of the source."""
    started = time.perf_counter()
    callbacks: tuple[str, ...] = ()
    dead: frozenset[tuple[str, int]] = frozenset()
    refuted: frozenset[str] = frozenset()
    try:
        facts = read_facts(data, arguments, kernel)
        callbacks = tuple(sorted(facts.ops.callbacks))
        explained = explain(
            _findings(facts), facts, arguments,
            lambda names: _findings(read_facts(data, arguments, kernel, unknown=names)),
            lambda name: _findings(read_facts(data, (*arguments, f"{name}=1"), kernel)),
        )  # fmt: skip
        findings = tuple(sorted(explained, key=lambda f: ORDER[f.level]))[: limits.FINDINGS]
        text, dead, refuted = evidence(facts), dead_lines(facts), refuted_bugs(facts)
    except ObjectError as error:
        findings, text = (Finding(error.bug, "reject", str(error), "", ADVICE.get(error.bug, "")),), str(error)
    except OURS as error:
        # Ours to mend; but nothing is known of such an object, so it must not pass.
        text = f"{FAILED}: {type(error).__name__}: {error}"
        findings = (Finding("elf", "reject", text, "", "Report this object."),)
    ok = not any(finding.level == "reject" for finding in findings)
    return Analysis(Stage("object", ok, time.perf_counter() - started, findings, text, callbacks), dead, refuted)


def dead_lines(facts: Facts) -> frozenset[tuple[str, int]]:
    """(file, line) of code that was compiled and that no path through its function comes by.

    A constant turns it off, or it comes after the policy has ended itself. Empty where not all paths were walked; a
    line without code of its own is none of them, for the compiler may have given its work to another.
    """
    if facts.record.incomplete:
        return frozenset()
    live, dead = set[tuple[str, int]](), set[tuple[str, int]]()
    for function in {function.start: function for function in facts.program.functions.values()}.values():
        pcs = range(function.start, function.end)
        if not any(pc in facts.record.walked for pc in pcs):
            continue  # a program that the kernel's scheduler does not call
        line = None
        for pc in pcs:
            line = facts.program.lines.get(pc, line)
            if line is not None:
                (live if pc in facts.record.walked else dead).add(line)
    return frozenset(dead - live)


def asks_for_config(data: bytes) -> bool:
    """Does libbpf need the kernel's configuration to load this object? Not one that cannot be read."""
    try:
        return needs_config(read_program(data))
    except ObjectError:
        return False


def read_facts(
    data: bytes, arguments: Sequence[str] = (), kernel: KernelValues = NOTHING, *, unknown: Collection[str] = ()
) -> Facts:
    """What an object does, the constants `unknown` being anything; ObjectError when it is none."""
    program = read_program(data)
    if missing := undefined(program):
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise ObjectError(f"{', '.join(missing[:NAMED])}{more}: used, and defined nowhere", "link")
    ops = read_ops(program, values_of(arguments).get(OPS_USE, ""))
    fill(program, kernel)
    apply_arguments(program, ops, arguments, kernel.constants)
    for constant in constants(program):
        if constant.name in unknown:
            program.open.update((constant.section, constant.offset + at) for at in range(constant.size))
    walk = Walk(program)
    setters: dict[str, str] = {}
    for name, pc in sorted(ops.callbacks.items(), key=lambda callback: callback[0] not in FIRST):
        if name not in FIRST:
            walk.note_always()
        walk.entry(name, pc)
    for name, pc in _other_programs(program_entries=program.functions, ops_entries=set(ops.callbacks.values())):
        walk.entry(name, pc)
    done: set[int] = set()
    while pending := [pc for pc in walk.later if pc not in done]:
        for pc in pending[: limits.ENTRIES - len(done)]:
            name = f"timer{len(done) or ''}"
            setters[name] = walk.later[pc]
            walk.entry(name, pc)
            done.add(pc)
        if len(done) >= limits.ENTRIES:
            break
    return Facts(program, ops, walk.record, setters, walk.values.made_of)


def _other_programs(*, program_entries: dict[int, Function], ops_entries: set[int]) -> list[tuple[str, int]]:
    """Programs that are no callbacks: user space may run them, and they may move tasks."""
    programs = []
    for pc, function in program_entries.items():
        if pc not in ops_entries and function.section.lstrip("?") in ("syscall",):
            programs.append(("syscall", pc))
    return programs[: limits.ENTRIES]


def _findings(facts: Facts) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(facts)]
