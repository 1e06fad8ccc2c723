# SPDX-License-Identifier: Apache-2.0
"""Checks of CPUs and kicks: where tasks are sent, and who is woken (F10 to F12, F21, F33, F39)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy_lake.model import Finding, Level
from verifier_vm.object import kernel
from verifier_vm.object.facts import Facts, comes_from, local, local_on, user_id
from verifier_vm.object.values import MASK32, Expr, Value, signed, sure_bits
from verifier_vm.situations import Situation

PICKS = ("scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and", "scx_bpf_pick_idle_cpu",
         "scx_bpf_pick_any_cpu", "scx_bpf_pick_idle_cpu_node", "scx_bpf_pick_any_cpu_node", "scx_bpf_task_cpu",
         "prev_cpu")  # fmt: skip
# They give a migration-disabled task the CPU that it is on.
KNOWS_MIGRATION = ("scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and", "scx_bpf_task_cpu",
                   "prev_cpu")  # fmt: skip
MIGRATION = (Situation.AFFINITY, Situation.PINNED, Situation.MIGRATION_DISABLED)
MAY_FAIL = ("scx_bpf_pick_idle_cpu", "scx_bpf_pick_idle_cpu_node")


def check_cpus(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _local_on(facts)
    yield from _migration_disabled(facts)
    yield from _selected(facts)
    yield from _both_kicks(facts)
    yield from _kicks_nobody(facts)
    yield from _executing_cpu(facts)
    yield from _no_kick(facts)


def _local_on(facts: Facts) -> Iterator[Finding]:
    reported: set[tuple[str, str]] = set()
    advice = "Use SCX_DSQ_LOCAL or a DSQ for each CPU; else test bpf_cpumask_test_cpu(cpu, p->cpus_ptr) and migration."
    for insert in facts.inserts:
        call = insert.call
        if not local_on(insert.dsq) or insert.moved:
            continue
        held = call.entry in ("enqueue", "select_cpu") and not comes_from(insert.dsq, *PICKS)
        sure = held and call.entry not in facts.record.asked and facts.complete(call.entry)
        level: Level = "reject" if sure else "unknown"
        if (call.entry, level) in reported:
            continue
        reported.add((call.entry, level))
        reason = "SCX_DSQ_LOCAL_ON: whether the task may run on that CPU when it is moved cannot be told here"
        if sure:
            reason = (
                f"{call.entry} inserts into SCX_DSQ_LOCAL_ON of a CPU where the task may not run: it reads no affinity"
            )
        finding = facts.finding("F10", level, reason, call, advice)
        yield replace(finding, situations=MIGRATION) if facts.flag(kernel.ENQ_MIGRATION_DISABLED) else finding


def _migration_disabled(facts: Facts) -> Iterator[Finding]:
    """With the flag a task that must stay where it is comes to enqueue, its mask as wide as ever until it is switched
    away from: the mask alone does not say where it may be sent."""
    looks = any(entry == "enqueue" and name == "migration_disabled" for entry, name, *_ in facts.record.reads)
    if looks or not facts.flag(kernel.ENQ_MIGRATION_DISABLED):
        return
    for insert in facts.inserts:
        call = insert.call
        sent = call.entry == "enqueue" and local_on(insert.dsq) and not insert.moved
        if not sent or comes_from(insert.dsq, *KNOWS_MIGRATION) or not facts.complete("enqueue"):
            continue
        reason = ("SCX_OPS_ENQ_MIGRATION_DISABLED, and enqueue sends tasks to a CPU by its number without asking"
                  " p->migration_disabled: such a task may run on its own CPU only")  # fmt: skip
        advice = "Where p->migration_disabled, insert into SCX_DSQ_LOCAL; or drop the flag: the kernel then does so."
        yield replace(facts.finding("F10", "reject", reason, call, advice), situations=MIGRATION)
        return


def _as_cpu(value: Value) -> int | None:
    return signed(value & MASK32, 32) if isinstance(value, int) else None


def _unchecked(facts: Facts, value: Value, entry: str) -> bool:
    """Is it the result of a pick that can fail, which no branch ever looked at?"""
    picks = comes_from(value, *MAY_FAIL)
    return bool(picks) and not any(pick in facts.record.tested for pick in picks) and facts.complete(entry)


def _selected(facts: Facts) -> Iterator[Finding]:
    for ending in facts.record.endings.values():
        if ending.entry != "select_cpu" or not ending.exact:
            continue
        place = facts.place("select_cpu", ending.line, ending.pc)
        if ending.negative or _unchecked(facts, ending.value, "select_cpu"):
            reason = 'select_cpu can return a negative number: "invalid CPU from ops.select_cpu()" ends the policy'
            yield Finding("F11", "reject", reason, place, "Return prev_cpu where no CPU is found.")
            return
        if "select_cpu" not in facts.record.asked and facts.complete("select_cpu") and _made_up(ending.value):
            reason = "select_cpu returns a CPU where the task may not run, for it reads no affinity: it is ignored"
            advice = "Return a CPU of p->cpus_ptr, such as sx_select_cpu_dfl's."
            yield Finding("F12", "suspicion", reason, place, advice)
            return


def _made_up(value: Value) -> bool:
    """Is it a number of the policy's own making, not one that it was given?"""
    while isinstance(value, Expr) and value.op in ("low", "extend", "sure") and value.a is not None:
        value = value.a
    return isinstance(value, int) or value.op in ("mix", "off", "and", "or")


def _both_kicks(facts: Facts) -> Iterator[Finding]:
    for call in facts.record.by_name("scx_bpf_kick_cpu"):
        flags = sure_bits(call.args[1])
        if flags & kernel.KICK_IDLE and flags & (kernel.KICK_PREEMPT | kernel.KICK_WAIT):
            reason = "SCX_KICK_IDLE together with SCX_KICK_PREEMPT or SCX_KICK_WAIT: the kernel ends the policy"
            advice = "Kick an idle CPU with SCX_KICK_IDLE, a busy one with SCX_KICK_PREEMPT."
            yield facts.finding("F33", "reject", reason, call, advice)
            return


def _kicks_nobody(facts: Facts) -> Iterator[Finding]:
    for call in facts.record.by_name("scx_bpf_kick_cpu"):
        cpu = _as_cpu(call.args[0])
        if (cpu is not None and cpu < 0) or _unchecked(facts, call.args[0], call.entry):
            reason = 'a CPU is kicked whose number can be negative: "invalid CPU" ends the policy'
            yield facts.finding("F11", "reject", reason, call, "Kick only if the picked CPU is not negative.")
            return


def _executing_cpu(facts: Facts) -> Iterator[Finding]:
    for (entry, pc), line in facts.record.indexed.items():
        if entry in ("running", "stopping"):
            reason = f".{entry} takes bpf_get_smp_processor_id() for the task's CPU: it can run on another"
            yield Finding(
                "F39", "suspicion", reason, facts.place(entry, line, pc), "Use scx_bpf_task_cpu(p) (sx_task_cpu)."
            )
            return


def _no_kick(facts: Facts) -> Iterator[Finding]:
    """An insert into a CPU's own queue needs none: the kernel has an idle CPU look at once.

    Without .select_cpu it is asked all the same. The kernel's own finds an idle CPU for who wakes or is forked, but is
    not called for who is bound to one CPU or may not migrate now, and a task whose slice has ended as a real-time one
    takes its CPU is queued beside idle ones, too.
    """
    shared = [insert for insert in facts.inserts if not insert.moved and not local(insert.dsq)]
    own = [insert.call for insert in shared if insert.call.entry == "enqueue"
           and (user_id(insert.dsq) is not None or not isinstance(insert.dsq, int))]  # fmt: skip
    if own and not facts.record.by_name("scx_bpf_kick_cpu"):
        reason = "tasks are queued and no CPU is ever kicked: whether an idle one finds them must be seen"
        yield facts.finding(
            "F21", "unknown", reason, own[0], "Kick an idle CPU after inserting (sx_wake_idle_cpu_for)."
        )
