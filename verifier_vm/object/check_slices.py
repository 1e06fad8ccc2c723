# SPDX-License-Identifier: Apache-2.0
"""Checks of time: slices without end or not given, how CPU time is charged, long loops (F17, F19, F20, F36)."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding, Level
from verifier_vm.object import kernel
from verifier_vm.object.facts import Facts
from verifier_vm.object.record import Call
from verifier_vm.object.values import MASK32, Expr, Value, is_field, leaves_of, signed, sure_bits

LONG_SLICE_NS = 5_000_000_000
LONG_LOOP, ENDLESS_LOOP = 1 << 16, 1 << 20  # rounds: a millisecond or so, and tens of them
CHARGING = ("stopping", "quiescent", "dequeue", "dispatch")
SLICE = "scx.slice"
SETTERS = ("scx_bpf_task_set_slice", "scx_bpf_dsq_move_set_slice")
# Callbacks that hold no run queue's lock, where a long loop delays nobody else.
UNLOCKED = frozenset((*kernel.SLEEPABLE, "timer", "syscall"))


def check_slices(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _endless(facts)
    yield from _zero(facts)
    yield from _charged_by_slice(facts)
    yield from _loops(facts)


def refuted_bugs(facts: Facts) -> frozenset[str]:
    """F19 and F20 where every slice that a path gives is a known number, neither nothing nor long."""
    known = [insert.slice_ns for insert in facts.inserts if not insert.moved]
    fine = all(isinstance(slice_ns, int) and 0 < slice_ns < LONG_SLICE_NS for slice_ns in known)
    return frozenset(("F19", "F20")) if fine and not facts.record.incomplete and not sets_slices(facts) else frozenset()


def sets_slices(facts: Facts) -> bool:
    """Does it set slices in another way than by inserts?"""
    writes = facts.record.writes.values()
    return bool(facts.record.by_name(*SETTERS)) or any(write.member == SLICE for write in writes)


def _preempts(facts: Facts) -> bool:
    """Is there anything that ends a turn before its slice does?"""
    kicks = [call.args[1] for call in facts.record.by_name("scx_bpf_kick_cpu")]
    if facts.has("tick") or any(not isinstance(flags, int) or flags & kernel.KICK_PREEMPT for flags in kicks):
        return True
    return sets_slices(facts) or any(sure_bits(insert.flags) & kernel.ENQ_PREEMPT_BIT for insert in facts.inserts)


def _endless(facts: Facts) -> Iterator[Finding]:
    """Two hogs on one CPU: the second waits for a whole slice; one as long as the watchdog's limit ends the policy."""
    limit_ns = (facts.ops.numbers["timeout_ms"] or kernel.TIMEOUT_MS_MAX) * 1_000_000
    for insert in facts.inserts:
        slice_ns = insert.slice_ns
        if isinstance(slice_ns, int) and slice_ns >= LONG_SLICE_NS and not _preempts(facts):
            text = "SCX_SLICE_INF" if slice_ns == kernel.SLICE_INF else f"a slice of {slice_ns / 1e9:.0f} s"
            reason = f"{text} and nothing that ends a turn: whoever does not sleep keeps its CPU, and all others wait"
            advice = "Use a slice of milliseconds, or preempt with SCX_KICK_PREEMPT, .tick or scx_bpf_task_set_slice."
            level: Level = "reject" if slice_ns >= limit_ns else "suspicion"
            yield facts.finding("F19", level, reason, insert.call, advice)
            return


def _zero(facts: Facts) -> Iterator[Finding]:
    """An insert of slice 0 leaves the task what it had, or a nanosecond: it runs to the next tick."""
    if sets_slices(facts):
        return
    given = [insert for insert in facts.inserts if insert.slice_ns is not None]
    if given and all(insert.slice_ns == 0 for insert in given):
        reason = "every insert has slice 0, and nothing sets one: a task runs on to the next tick, or has what was left"
        yield facts.finding("F20", "note", reason, given[0].call, "Give a slice in ns, such as SCX_SLICE_DFL.")
    asked = {_divisor(leaf) for leaf in facts.record.tested} - {None}
    for insert in given:
        divisor = _divisor(insert.slice_ns)
        if divisor is not None and divisor not in asked and not leaves_of(divisor) & facts.record.ordered:
            reason = "the slice is a small number divided by one that grows: 0 once that is larger, and nobody asks"
            advice = "Multiply before you divide, and give no less than a lower limit (a millisecond, say)."
            yield facts.finding("F20", "note", reason, insert.call, advice)
            return


def _divisor(value: Value | None) -> Expr | None:
    """What a share was divided by; None for what is none."""
    while isinstance(value, Expr) and value.op == "low":
        value = value.a
    return value.a if isinstance(value, Expr) and value.op == "share" and isinstance(value.a, Expr) else None


def _charged_by_slice(facts: Facts) -> Iterator[Finding]:
    """scx.slice is 0 after a preemption and after sched_yield, so what is missing from it is not what was used."""
    advice = "Charge the growth of p->se.sum_exec_runtime (sx_mark_cpu_time, sx_cpu_time_since)."
    reason = "CPU time is charged by what is left of the slice, which preemption and sched_yield set to 0"
    for write in facts.record.writes.values():
        if write.entry in CHARGING and _from_slice(write.value) and not is_field(write.value, SLICE):
            yield Finding("F17", "suspicion", reason, facts.place(write.entry, write.line, write.pc), advice)
            return
    for call in facts.record.by_name("scx_bpf_task_set_dsq_vtime"):
        if call.entry in CHARGING and _from_slice(call.args[1]):
            yield facts.finding("F17", "suspicion", reason, call, advice)
            return


def _from_slice(value: Value) -> bool:
    return any(is_field(leaf, SLICE) for leaf in leaves_of(value))


def _loops(facts: Facts) -> Iterator[Finding]:
    """A loop that can end before its bound may have any: bpf_repeat(BPF_MAX_LOOPS) is how some write `while (true)`."""
    for call in facts.record.by_name("loop", "bpf_iter_num_new"):
        rounds = _rounds(call)
        if call.entry in UNLOCKED or (rounds is not None and rounds < LONG_LOOP):
            continue
        callee = call.args[1]
        never_stops = call.name == "loop" and isinstance(callee, Expr) and callee.key not in facts.record.stopping
        level: Level = "reject" if never_stops and rounds is not None and rounds >= ENDLESS_LOOP else "unknown"
        how_long = "whose length is only known at run time" if rounds is None else f"of up to {rounds} rounds"
        reason = f"a loop in .{call.entry} {how_long}, under a run queue's lock: its CPU does nothing else meanwhile"
        yield facts.finding("F36", level, reason, call, "Bound it by what one call may cost.")
        return


def _rounds(call: Call) -> int | None:
    """How often a loop goes round; None for a bpf_loop that does not say. A bpf_for over CPUs is short enough."""
    first, second = call.args[0], call.args[1]
    if call.name == "loop":
        return first if isinstance(first, int) else None
    third = call.args[2]
    if not isinstance(second, int) or not isinstance(third, int):
        return 0
    return signed(third & MASK32, 32) - signed(second & MASK32, 32)
