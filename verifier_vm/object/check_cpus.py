# SPDX-License-Identifier: Apache-2.0
"""Checks of CPUs, kicks, slices and loops (F10 to F12, F17, F19 to F21, F33, F36, F39)."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding
from verifier_vm.object import kernel
from verifier_vm.object.facts import Facts, comes_from, local_on, user_id
from verifier_vm.object.values import MASK32, Value, is_field, leaves_of, signed, sure_bits

PICKS = ("scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and", "scx_bpf_pick_idle_cpu",
         "scx_bpf_pick_any_cpu", "scx_bpf_pick_idle_cpu_node", "scx_bpf_pick_any_cpu_node", "scx_bpf_task_cpu",
         "prev_cpu")  # fmt: skip
MAY_FAIL = ("scx_bpf_pick_idle_cpu", "scx_bpf_pick_idle_cpu_node")
LONG_SLICE_NS = 5_000_000_000
LONG_LOOP, ENDLESS_LOOP = 1 << 16, 1 << 20
UNLOCKED = ("init", "exit", "init_task", "timer", "cpu_online", "cpu_offline", "syscall")


def check_cpus(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _local_on(facts)
    yield from _selected(facts)
    yield from _kicks(facts)
    yield from _slices(facts)
    yield from _charged_by_slice(facts)
    yield from _loops(facts)
    yield from _executing_cpu(facts)
    yield from _no_kick(facts)


def _local_on(facts: Facts) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    advice = (
        "Use SCX_DSQ_LOCAL, or one DSQ for each CPU; else test bpf_cpumask_test_cpu(cpu, p->cpus_ptr) and migration."
    )
    for insert in facts.inserts:
        call = insert.call
        if not local_on(insert.dsq) or insert.moved:
            continue
        picked = bool(comes_from(insert.dsq, *PICKS))
        sure = call.entry in ("enqueue", "select_cpu") and not picked and call.entry not in facts.record.asked
        level = "reject" if sure and facts.complete(call.entry) else "unknown"
        if (call.entry, level) in seen:
            continue
        seen.add((call.entry, level))
        if level == "reject":
            reason = f"{call.entry} inserts into SCX_DSQ_LOCAL_ON of a CPU where the task may not run: it never reads p's affinity"
            yield facts.finding("F10", "reject", reason, call, advice=advice)
        else:
            reason = "SCX_DSQ_LOCAL_ON: whether the task may run on that CPU when it is moved cannot be told here"
            yield facts.finding("F10", "unknown", reason, call, advice=advice)


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
        cpu, place = _as_cpu(ending.value), facts.place("select_cpu", ending.line, ending.pc)
        if ending.negative or _unchecked(facts, ending.value, "select_cpu"):
            reason = 'select_cpu can return a negative number: "invalid CPU from ops.select_cpu()" ends the policy'
            yield Finding("F11", "reject", reason, place, "Return prev_cpu where no CPU is found.")
            return
        if cpu is not None and "select_cpu" not in facts.record.asked:
            reason = f"select_cpu always returns CPU {cpu}, where the task may not run: the kernel then ignores it"
            yield Finding("F12", "reject", reason, place, "Return a CPU of p->cpus_ptr, such as sx_select_cpu_dfl's.")
            return


def _kicks(facts: Facts) -> Iterator[Finding]:
    both = negative = False
    for call in facts.record.by_name("scx_bpf_kick_cpu"):
        flags = sure_bits(call.args[1])
        if flags & kernel.KICK_IDLE and flags & (kernel.KICK_PREEMPT | kernel.KICK_WAIT) and not both:
            both = True
            reason = "SCX_KICK_IDLE together with SCX_KICK_PREEMPT or SCX_KICK_WAIT: the kernel ends the policy"
            yield facts.finding("F33", "reject", reason, call, advice="Kick an idle CPU with SCX_KICK_IDLE, a busy one with "
                                "SCX_KICK_PREEMPT.")  # fmt: skip
        cpu = _as_cpu(call.args[0])
        if ((cpu is not None and cpu < 0) or _unchecked(facts, call.args[0], call.entry)) and not negative:
            negative = True
            reason = 'a CPU is kicked whose number can be negative: "invalid CPU" ends the policy'
            yield facts.finding("F11", "reject", reason, call, advice="Kick only if the picked CPU is not negative.")


def _preempts(facts: Facts) -> bool:
    """Is there anything that ends a turn before its slice does?"""
    if facts.has("tick") or facts.record.by_name("scx_bpf_task_set_slice"):
        return True
    if any(write.member == "scx.slice" for write in facts.record.writes.values()):
        return True
    kicks = [call.args[1] for call in facts.record.by_name("scx_bpf_kick_cpu")]
    if any(not isinstance(flags, int) or flags & kernel.KICK_PREEMPT for flags in kicks):
        return True
    return any(sure_bits(insert.flags) & kernel.ENQ_PREEMPT_BIT for insert in facts.inserts)


def _slices(facts: Facts) -> Iterator[Finding]:
    inserts = [insert for insert in facts.inserts if insert.slice_ns is not None]
    for insert in inserts:
        slice_ns = insert.slice_ns
        if isinstance(slice_ns, int) and slice_ns >= LONG_SLICE_NS and not _preempts(facts):
            text = "SCX_SLICE_INF" if slice_ns == kernel.SLICE_INF else f"a slice of {slice_ns / 1e9:.0f} s"
            reason = f"{text} and nothing that ends a turn: whoever does not sleep keeps its CPU, and all others wait"
            yield facts.finding("F19", "reject", reason, insert.call, advice="Use a slice of milliseconds, or preempt with "
                                "SCX_KICK_PREEMPT, .tick or scx_bpf_task_set_slice.")  # fmt: skip
            break
    sets = facts.record.by_name("scx_bpf_task_set_slice") or any(
        write.member == "scx.slice" for write in facts.record.writes.values()
    )
    if inserts and all(insert.slice_ns == 0 for insert in inserts) and not sets:
        reason = 'every insert has slice 0, and nothing sets one: the kernel has to give its default and warns ("has zero slice")'
        yield facts.finding(
            "F20", "reject", reason, inserts[0].call, advice="Give a slice in ns, such as SCX_SLICE_DFL."
        )


def _charged_by_slice(facts: Facts) -> Iterator[Finding]:
    """scx.slice is 0 after a preemption and after sched_yield, so what is missing from it is not what was used."""
    charging = ("stopping", "quiescent", "dequeue", "dispatch")
    advice = "Charge the growth of p->se.sum_exec_runtime (sx_mark_cpu_time, sx_cpu_time_since)."
    reason = "CPU time is charged by what is left of the slice, which preemption and sched_yield set to 0"
    for write in facts.record.writes.values():
        spent = any(is_field(leaf, "scx.slice") for leaf in leaves_of(write.value))
        if write.entry in charging and spent and not is_field(write.value, "scx.slice"):
            yield Finding("F17", "reject", reason, facts.place(write.entry, write.line, write.pc), advice)
            return
    for call in facts.record.by_name("scx_bpf_task_set_dsq_vtime"):
        if call.entry in charging and any(is_field(leaf, "scx.slice") for leaf in leaves_of(call.args[1])):
            yield facts.finding("F17", "reject", reason, call, advice=advice)
            return


def _loops(facts: Facts) -> Iterator[Finding]:
    for call in facts.record.by_name("loop", "bpf_iter_num_new"):
        rounds = _rounds(call.args)
        if call.entry in UNLOCKED or rounds < LONG_LOOP:
            continue
        reason = f"a loop of {rounds} rounds in .{call.entry}, under the run queue's lock: nothing else runs on that CPU meanwhile"
        level = "reject" if rounds >= ENDLESS_LOOP else "unknown"
        yield facts.finding("F36", level, reason, call, advice="Bound it by what one call may cost.")  # type: ignore[arg-type]
        return


def _rounds(args: tuple[Value, ...]) -> int:
    if len(args) == 1:
        return args[0] if isinstance(args[0], int) else 0
    start, end = _as_cpu(args[1]), _as_cpu(args[2])
    return end - start if start is not None and end is not None else 0


def _executing_cpu(facts: Facts) -> Iterator[Finding]:
    for (entry, pc), line in facts.record.indexed.items():
        if entry in ("running", "stopping"):
            reason = f".{entry} takes bpf_get_smp_processor_id() for the task's CPU: it can run on another"
            yield Finding(
                "F39", "reject", reason, facts.place(entry, line, pc), "Use scx_bpf_task_cpu(p) (sx_task_cpu)."
            )
            return


def _no_kick(facts: Facts) -> Iterator[Finding]:
    own = [i for i in facts.inserts if i.call.entry == "enqueue" and not i.moved and (
        user_id(i.dsq) is not None or not isinstance(i.dsq, int))]  # fmt: skip
    if own and not facts.record.by_name("scx_bpf_kick_cpu"):
        reason = "tasks are queued and no CPU is ever kicked: whether an idle one finds them must be seen"
        yield facts.finding("F21", "unknown", reason, own[0].call, advice="Kick an idle CPU after inserting "
                            "(sx_wake_idle_cpu_for).")  # fmt: skip
