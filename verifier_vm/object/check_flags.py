# SPDX-License-Identifier: Apache-2.0
"""Checks of ops.flags against what the code does (F22, F24, F25, F42)."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding, Level
from verifier_vm.object import kernel
from verifier_vm.object.facts import Facts, local


def check_flags(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _idle_tracking(facts)
    yield from _per_node(facts)
    yield from _enq_last(facts)
    yield from _enq_exiting(facts)


def _idle_tracking(facts: Facts) -> Iterator[Finding]:
    calls = facts.record.by_name(*kernel.BUILTIN_IDLE)
    if calls and facts.has("update_idle") and not facts.flag(kernel.KEEP_BUILTIN_IDLE):
        off = ".update_idle without SCX_OPS_KEEP_BUILTIN_IDLE turns off"
        reason = f"{calls[0].name} needs the kernel's idle tracking, which {off}"
        yield facts.finding("F22", "reject", reason, calls[0], "Set SCX_OPS_KEEP_BUILTIN_IDLE, or drop .update_idle.")


def _per_node(facts: Facts) -> Iterator[Finding]:
    per_node = facts.flag(kernel.PER_NODE)
    for call in facts.record.by_name(*(kernel.FLAT_IDLE if per_node else kernel.NODE_IDLE)):
        reason = f"{call.name} is an error {'with' if per_node else 'without'} SCX_OPS_BUILTIN_IDLE_PER_NODE"
        advice = f"Use {call.name}_node." if per_node else "Set the flag, or use the function without _node."
        yield facts.finding("F42", "reject", reason, call, advice)
        return


def _enq_last(facts: Facts) -> Iterator[Finding]:
    """The last task of a CPU comes to enqueue with SCX_ENQ_LAST; in a shared DSQ the CPU would not look for it."""
    if not facts.flag(kernel.ENQ_LAST):
        return
    advice = "In enqueue test enq_flags & SCX_ENQ_LAST and insert such a task into SCX_DSQ_LOCAL, or drop the flag."
    if not facts.has("enqueue"):
        reason = "SCX_OPS_ENQ_LAST without .enqueue: the kernel refuses it"
        yield facts.finding("F24", "reject", reason, None, advice)
        return
    tested = any(entry == "enqueue" and name == "enq_flags" and mask & kernel.ENQ_LAST_BIT
                 for entry, name, mask in facts.record.masks)  # fmt: skip
    inserts = [insert for insert in facts.inserts if insert.call.entry == "enqueue"]
    if not tested and not all(local(insert.dsq) for insert in inserts):
        level: Level = "suspicion" if facts.complete("enqueue") else "unknown"
        reason = "SCX_OPS_ENQ_LAST, but enqueue never tests SCX_ENQ_LAST: a CPU then idles with a task queued"
        yield facts.finding("F24", level, reason, "enqueue", advice)


def _enq_exiting(facts: Facts) -> Iterator[Finding]:
    if not facts.flag(kernel.ENQ_EXITING):
        return
    lookups = facts.record.by_name("bpf_task_from_pid", "bpf_task_from_vpid")
    if lookups:
        reason = "SCX_OPS_ENQ_EXITING with tasks looked up by pid: an exiting task has none any more, and is lost"
        yield facts.finding("F25", "suspicion", reason, lookups[0], "Drop the flag, or keep tasks in DSQs.")
    else:
        reason = "SCX_OPS_ENQ_EXITING: exiting tasks come to enqueue, and must not be kept by pid"
        yield facts.finding("F25", "note", reason, None, "Drop the flag unless it is needed.")
