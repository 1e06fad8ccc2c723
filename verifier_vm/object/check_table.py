# SPDX-License-Identifier: Apache-2.0
"""Checks of the ops table: what is there, what is missing, which flags need what (F15, F22, F24, F25, F30, F35, F40 to F42)."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding
from verifier_vm.object import kernel
from verifier_vm.object.facts import Facts, local
from verifier_vm.object.values import Expr, is_task, is_vtime, leaves_of, root

CGROUP_OPS = ("cgroup_set_weight", "cgroup_set_bandwidth")
PURE = ("map_lookup_elem", "task_storage_get", "cgrp_storage_get", "get_smp_processor_id", "trace_printk", "trace_vprintk",
        "ktime_get_ns", "scx_bpf_now", "bpf_rcu_read_lock", "bpf_rcu_read_unlock")  # fmt: skip


def check_table(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _numbers(facts)
    yield from _hotplug(facts)
    yield from _exit(facts)
    yield from _enq_last(facts)
    yield from _enq_exiting(facts)
    yield from _idle_tracking(facts)
    yield from _cgroups(facts)
    yield from _yield(facts)
    yield from _enable(facts)


def _numbers(facts: Facts) -> Iterator[Finding]:
    numbers, name = facts.ops.numbers, facts.ops.name
    if not name:
        yield facts.finding("name", "reject", "ops.name is empty: the kernel refuses a scheduler without a name",
                            advice="Set .name in the ops table.")  # fmt: skip
    if numbers["timeout_ms"] > kernel.TIMEOUT_MS_MAX:
        reason = (
            f"ops.timeout_ms is {numbers['timeout_ms']}: the kernel refuses more than {kernel.TIMEOUT_MS_MAX} (-E2BIG)"
        )
        yield facts.finding("timeout", "reject", reason, advice="Set .timeout_ms to 5000.")
    if not numbers["timeout_ms"]:
        reason = "ops.timeout_ms is not set: a stall is only noticed after 30 s"
        yield facts.finding("timeout", "note", reason, advice="Set .timeout_ms to 5000.")
    if unknown := numbers["flags"] & ~kernel.ALL_FLAGS:
        reason = f"ops.flags has bits that 7.3 does not know ({unknown:#x}): the kernel refuses them (-EINVAL)"
        yield facts.finding("flags", "reject", reason, advice="Use only SCX_OPS_* flags of the target kernel.")
    if facts.ops.by_cid:
        reason = "the policy is in cid form (sched_ext_ops_cid), of which this stage knows little"
        yield facts.finding("cid", "unknown", reason, advice="Prefer struct sched_ext_ops.")


def _hotplug(facts: Facts) -> Iterator[Finding]:
    missing = [f".{name}" for name in ("cpu_online", "cpu_offline") if not facts.has(name)]
    if missing:
        reason = f"no {' and no '.join(missing)}: the kernel ends the policy at the first CPU hotplug"
        yield facts.finding("F30", "reject", reason, advice="Add cpu_online and cpu_offline callbacks, even if all they do is "
                            "count CPUs (SX_COUNTS_CPUS does that).")  # fmt: skip


def _exit(facts: Facts) -> Iterator[Finding]:
    advice = "Record kind, code, reason and message in .exit (SX_EXIT_RECORD and sx_record_exit do that)."
    if not facts.has("exit"):
        yield facts.finding("F35", "reject", "no .exit: nobody learns why the policy ended", advice=advice)
    elif facts.complete("exit") and not _stores(facts, "exit"):
        reason = ".exit stores nothing: nobody learns why the policy ended"
        yield facts.finding("F35", "reject", reason, entry="exit", advice=advice)


def _stores(facts: Facts, entry: str) -> bool:
    """Does a callback leave anything behind in memory of the policy's own?"""
    if any(write.entry == entry for write in facts.record.writes.values()):
        return True
    for call in facts.record.calls.values():
        if call.entry != entry or call.name in PURE:
            continue
        bases = [root(value)[0] for value in call.args]
        if any(isinstance(base, Expr) and base.op in ("data", "element", "map", "storage") for base in bases):
            return True
    return False


def _enq_last(facts: Facts) -> Iterator[Finding]:
    if not facts.flag(kernel.ENQ_LAST):
        return
    advice = "In enqueue test enq_flags & SCX_ENQ_LAST and insert such a task into SCX_DSQ_LOCAL, or drop the flag."
    if not facts.has("enqueue"):
        yield facts.finding("F24", "reject", "SCX_OPS_ENQ_LAST without .enqueue: the kernel refuses it", advice=advice)
        return
    tested = any(entry == "enqueue" and name == "enq_flags" and mask & kernel.ENQ_LAST_BIT
                 for entry, name, mask in facts.record.masks)  # fmt: skip
    inserts = [insert for insert in facts.inserts if insert.call.entry == "enqueue"]
    if not tested and not all(local(insert.dsq) for insert in inserts):
        level = "reject" if facts.complete("enqueue") else "unknown"
        reason = "SCX_OPS_ENQ_LAST is set, but enqueue never looks at SCX_ENQ_LAST: a CPU goes idle with its only task queued"
        yield facts.finding("F24", level, reason, entry="enqueue", advice=advice)  # type: ignore[arg-type]


def _enq_exiting(facts: Facts) -> Iterator[Finding]:
    if not facts.flag(kernel.ENQ_EXITING):
        return
    lookups = facts.record.by_name("bpf_task_from_pid", "bpf_task_from_vpid")
    if lookups:
        reason = "SCX_OPS_ENQ_EXITING with tasks looked up by pid: an exiting task has none any more, and is lost"
        yield facts.finding("F25", "reject", reason, lookups[0], advice="Drop the flag, or keep tasks in DSQs.")
    else:
        yield facts.finding("F25", "note", "SCX_OPS_ENQ_EXITING: exiting tasks come to enqueue, and must not be kept by pid",
                            advice="Drop the flag unless it is needed.")  # fmt: skip


def _idle_tracking(facts: Facts) -> Iterator[Finding]:
    off = facts.has("update_idle") and not facts.flag(kernel.KEEP_BUILTIN_IDLE)
    calls = facts.record.by_name(*kernel.BUILTIN_IDLE)
    if off and calls:
        reason = (f"{calls[0].name} needs the kernel's idle tracking, which .update_idle without SCX_OPS_KEEP_BUILTIN_IDLE "
                  "turns off")  # fmt: skip
        yield facts.finding(
            "F22", "reject", reason, calls[0], advice="Set SCX_OPS_KEEP_BUILTIN_IDLE, or drop .update_idle."
        )
    per_node = facts.flag(kernel.PER_NODE)
    for call in facts.record.by_name(*(kernel.FLAT_IDLE if per_node else kernel.NODE_IDLE)):
        reason = f"{call.name} is an error {'with' if per_node else 'without'} SCX_OPS_BUILTIN_IDLE_PER_NODE"
        advice = f"Use {call.name}_node." if per_node else "Set the flag, or use the function without _node."
        yield facts.finding("F42", "reject", reason, call, advice=advice)
        return


def _cgroups(facts: Facts) -> Iterator[Finding]:
    if not any(name.startswith("cgroup_") for name in facts.ops.callbacks):
        yield facts.finding("F41", "note", "no cgroup callbacks: cpu.weight and cpu.max of cgroups have no effect",
                            advice="Implement cgroup_init, cgroup_set_weight and cgroup_move if cgroups must count.")  # fmt: skip
    for name in CGROUP_OPS:
        if facts.has(name) and facts.complete(name) and not _stores(facts, name) and not _acts(facts, name):
            reason = f".{name} throws away what it is told: the cgroup's setting has no effect"
            yield facts.finding(
                "F41", "reject", reason, entry=name, advice="Keep the value and use it, or drop the callback."
            )


def _acts(facts: Facts, entry: str) -> bool:
    return any(call.entry == entry and call.name not in PURE for call in facts.record.calls.values())


def _yield(facts: Facts) -> Iterator[Finding]:
    if not facts.has("yield") or not facts.complete("yield"):
        return
    writes = [write for write in facts.record.writes.values() if write.entry == "yield"]
    touches = any(isinstance(root(w.base)[0], Expr) and root(w.base)[0].op != "data" for w in writes)  # type: ignore[union-attr]
    if not touches and not _acts(facts, "yield"):
        reason = ".yield does nothing to the task that yields: sched_yield() then keeps the CPU to the end of the slice"
        yield facts.finding("F40", "reject", reason, entry="yield", advice="Set the task's slice to 0, or drop the callback, "
                            "which does just that.")  # fmt: skip


def _enable(facts: Facts) -> Iterator[Finding]:
    """A vtime that a task brings along must have been given to it once: a new task has 0, or its parent's."""
    starts = ("enable", "init_task", "runnable", "enqueue", "select_cpu")
    given = any(c.entry in starts and is_task(c.args[0]) for c in facts.record.by_name("scx_bpf_task_set_dsq_vtime"))
    given = given or any(w.entry in starts and w.member == "scx.dsq_vtime" for w in facts.record.writes.values())
    if given:
        return
    for insert in facts.inserts:
        if insert.vtime is not None and any(map(is_vtime, leaves_of(insert.vtime))) and not insert.call.path.compared:
            reason = "tasks are ordered by p->scx.dsq_vtime, which no .enable sets: a new task starts with 0 or a stale value"
            yield facts.finding("F15", "reject", reason, insert.call, advice="Add an enable callback that sets the task's "
                                "vtime to the queue's clock.")  # fmt: skip
            return
