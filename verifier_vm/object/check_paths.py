# SPDX-License-Identifier: Apache-2.0
"""Checks of paths: what becomes of the task at hand, and who may call what (F01, F07 to F09, F26, F38, contexts)."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding, Level
from verifier_vm.object import kernel
from verifier_vm.object.facts import Facts, comes_from
from verifier_vm.object.frames import LOOPS
from verifier_vm.object.record import Call, Ending
from verifier_vm.object.rounds import most_rounds
from verifier_vm.object.values import Expr, is_task
from verifier_vm.object.walk import Walk

OTHER_TASKS = ("bpf_task_from_pid", "bpf_task_from_vpid", "get_current_task_btf", "scx_bpf_cpu_curr",
               "scx_bpf_dsq_peek", "bpf_iter_scx_dsq_next", "scx_bpf_tid_to_task", "prev", "to")  # fmt: skip


def check_paths(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _contexts(facts)
    yield from _twice(facts)
    yield from _another_task(facts)
    yield from _lost(facts)
    yield from _overflow(facts)
    yield from _push_ignored(facts)
    yield from _read_back(facts)
    yield from _incomplete(facts)


def _contexts(facts: Facts) -> Iterator[Finding]:
    checked: set[tuple[str, str]] = set()
    for call in facts.record.calls.values():
        if (call.entry, call.name) in checked:
            continue
        checked.add((call.entry, call.name))
        if call.name in kernel.GONE:
            reason = f"{call.name} does not exist on this kernel (7.3)"
            yield facts.finding("kfunc", "reject", reason, call, "Use the sx_ wrapper, or the kfunc's present name.")
        allowed = kernel.CONTEXTS.get(call.name)
        entry = facts.setters.get(call.entry, call.entry)
        if allowed is not None and entry not in allowed:
            known = ", ".join(sorted(name for name in allowed if name in kernel.ARGUMENTS and "cgroup" not in name))
            reason = f".{call.entry} may not call {call.name}: the kernel refuses it there (-EACCES)"
            yield facts.finding("context", "reject", reason, call, f"Call it only from {known}.")
        elif call.name == kernel.CREATE_NEEDS_SLEEP and not _sleepable(facts, entry):
            reason = f".{call.entry} calls {call.name}, which sleeps, but is not in a struct_ops.s section"
            yield facts.finding("context", "reject", reason, call, 'Use SEC("struct_ops.s/...") (SX_OP_SLEEPABLE).')
    for entry in facts.ops.callbacks:
        if entry not in kernel.SLEEPABLE and _sleepable(facts, entry):
            reason = f".{entry} must not sleep, and is in a struct_ops.s section: the kernel refuses it (-EINVAL)"
            yield facts.finding("context", "reject", reason, entry, 'Use SEC("struct_ops/...") (SX_OP).')


def _sleepable(facts: Facts, entry: str) -> bool:
    start = facts.ops.callbacks.get(entry)
    function = facts.program.functions.get(start) if start is not None else None
    return function is None or function.section.startswith(("struct_ops.s/", "?struct_ops.s/"))


def _lost(facts: Facts) -> Iterator[Finding]:
    """F01: the worst path decides; one that is certain, then one that only may be."""
    worst: Ending | None = None
    for ending in facts.record.endings.values():
        path = ending.path
        if ending.entry != "enqueue" or path.inserted or path.ended or path.kept == 2:
            continue
        if worst is None or (path.kept, not ending.exact) < (worst.path.kept, not worst.exact):
            worst = ending
    if worst is None:
        return
    place = facts.place("enqueue", worst.line, worst.pc)
    advice = "Insert the task on every path, into SCX_DSQ_GLOBAL if nothing better is known, or keep it for dispatch."
    if worst.path.kept or not worst.exact:
        reason = "whether enqueue inserts or keeps the task on every path cannot be told"
        yield Finding("F01", "unknown", reason, place, advice)
    else:
        reason = "enqueue has a path on which the task is neither inserted nor kept: it would never run again"
        yield Finding("F01", "reject", reason, place, advice)


def _twice(facts: Facts) -> Iterator[Finding]:
    for insert in facts.inserts:
        call = insert.call
        if call.entry in ("select_cpu", "enqueue") and call.path.inserted and not insert.moved and is_task(insert.task):
            reason = f'a path through {call.entry} inserts the task twice: "already direct-dispatched" ends the policy'
            yield facts.finding("F07", "reject", reason, call, "Return after the first insert.")
            return


def _another_task(facts: Facts) -> Iterator[Finding]:
    for insert in facts.inserts:
        call, task = insert.call, insert.task
        if call.entry not in ("select_cpu", "enqueue") or insert.moved or is_task(task):
            continue
        sure = isinstance(task, Expr) and (comes_from(task, *OTHER_TASKS) or (task.op == "arg" and task.key != "p"))
        reason = f"{call.entry} inserts {'' if sure else 'what may be '}another task than the one it was called for"
        level: Level = "reject" if sure else "unknown"
        yield facts.finding("F08", level, reason, call, "Insert p only; leave other tasks to dispatch.")
        return


def _overflow(facts: Facts) -> Iterator[Finding]:
    batch = facts.ops.numbers["dispatch_max_batch"] or kernel.MAX_BATCH
    if any(call.entry == "dispatch" for call in facts.record.by_name("scx_bpf_dispatch_nr_slots")):
        return
    own = (insert.call for insert in facts.inserts if not insert.moved and insert.call.entry == "dispatch")
    inserts = {call.pc: call for call in own}
    rounds = [most_rounds(facts, "dispatch", pc) for pc in inserts]
    looping = [call for call in inserts.values() if call.looping]
    if (
        not looping
        or (None not in rounds and sum(filter(None, rounds)) <= batch)
        or _most_counted(facts, batch) <= batch
    ):
        return
    reason = f"dispatch inserts in a loop and never asks for free slots: more than {batch} in one call overflow"
    advice = "Stop when scx_bpf_dispatch_nr_slots() is 0, or flush with a move to the local DSQ."
    yield facts.finding("F09", "unknown", reason, looping[0], advice)


def _most_counted(facts: Facts, batch: int) -> int:
    """How many tasks one dispatch inserts at most, up to one more than `batch`: by going through its loops."""
    walk = Walk(facts.program, most_dispatched=batch + 1)
    walk.entry("dispatch", facts.ops.callbacks["dispatch"])
    ends = [ending.path.dispatched for ending in walk.record.endings.values()]
    # What helpers call back is gone through for a few rounds only.
    unknown = walk.record.incomplete or walk.record.by_name(*LOOPS)
    return batch + 1 if unknown else max(ends, default=0)


def _push_ignored(facts: Facts) -> Iterator[Finding]:
    only_kept = {e.entry for e in facts.record.endings.values() if e.path.kept == 2 and not e.path.inserted}
    for call in facts.record.by_name("map_push_elem"):
        if call.entry == "enqueue" and call.entry in only_kept and _ignored(facts, call):
            reason = "the result of bpf_map_push_elem is ignored: when the map is full the task is lost"
            yield facts.finding("F26", "reject", reason, call, "Where it fails, insert the task into a DSQ.")
            return
    for call in facts.record.by_name("map_update_elem"):
        if call.entry == "enqueue" and call.entry in only_kept and _ignored(facts, call):
            reason = "the result of bpf_map_update_elem is ignored: if the task is kept there, it can be lost"
            yield facts.finding("F26", "unknown", reason, call, "Where it fails, insert the task into a DSQ.")
            return


def _ignored(facts: Facts, call: Call) -> bool:
    return call.result is not None and call.result not in facts.record.tested and facts.complete(call.entry)


def _read_back(facts: Facts) -> Iterator[Finding]:
    for (entry, name, inserted, pc), line in facts.record.reads.items():
        if not inserted or entry not in ("enqueue", "select_cpu") or name not in ("scx.dsq_vtime", "scx.slice"):
            continue
        setter = "scx_bpf_task_set_dsq_vtime" if name == "scx.dsq_vtime" else "scx_bpf_task_set_slice"
        written = any(c.entry == entry for c in facts.record.by_name(setter))
        if written or any(w.entry == entry and w.member == name for w in facts.record.writes.values()):
            continue
        reason = f"p->{name} is read after the task was inserted: since 7.3 the old value still stands there"
        advice = "Use the value that was given to the insert."
        yield Finding("F38", "suspicion", reason, facts.place(entry, line, pc), advice)
        return


def _incomplete(facts: Facts) -> Iterator[Finding]:
    if facts.record.incomplete:
        entries = ", ".join(f".{entry}" for entry in facts.record.incomplete)
        why = next(iter(facts.record.incomplete.values()))
        reason = f"not looked through to the end: {entries}: {why}"
        yield Finding("walk", "unknown", reason, facts.place(next(iter(facts.record.incomplete))),
                      "Simpler code can be checked before it runs.")  # fmt: skip
