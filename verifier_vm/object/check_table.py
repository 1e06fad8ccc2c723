# SPDX-License-Identifier: Apache-2.0
"""Checks of the ops table: its numbers, and callbacks that are missing or empty (F15, F30, F40, F41)."""

from __future__ import annotations

import string
from collections.abc import Iterator

from policy_lake.model import Finding
from verifier_vm.object import kernel
from verifier_vm.object.check_exit import PURE, stores
from verifier_vm.object.facts import Facts
from verifier_vm.object.values import Expr, is_task, is_vtime, leaves_of, root

CGROUP_OPS = ("cgroup_set_weight", "cgroup_set_bandwidth")
SHORT_TIMEOUT_MS = 1000  # 40 hogs a CPU take 0.8 s for a round of 20 ms each
STARTS = ("enable", "init_task", "runnable", "enqueue", "select_cpu")  # may give a task its first vtime
NAME_LETTERS = frozenset(string.ascii_letters + string.digits + "_.")  # bpf_obj_name_cpy()


def check_table(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _numbers(facts)
    yield from _hotplug(facts)
    yield from _cgroups(facts)
    yield from _yield(facts)
    yield from _enable(facts)


def _numbers(facts: Facts) -> Iterator[Finding]:
    timeout_ms, most = facts.ops.numbers["timeout_ms"], kernel.TIMEOUT_MS_MAX
    advice = "Set .timeout_ms to 5000."
    if not facts.ops.name:
        reason = "ops.name is empty: the kernel refuses a scheduler without a name"
        yield facts.finding("name", "reject", reason, None, "Set .name in the ops table.")
    elif wrong := sorted({letter for letter in facts.ops.name if letter not in NAME_LETTERS}):
        said = ", ".join(repr(letter) for letter in wrong)
        reason = f"ops.name is {facts.ops.name!r}: the kernel refuses {said} in it (-EINVAL)"
        yield facts.finding("name", "reject", reason, None, "Use letters, digits, '_' and '.' in .name.")
    if timeout_ms > most:
        reason = f"ops.timeout_ms is {timeout_ms}: the kernel refuses more than {most} (-E2BIG)"
        yield facts.finding("timeout", "reject", reason, None, advice)
    if 0 < timeout_ms < SHORT_TIMEOUT_MS:
        reason = f"ops.timeout_ms is {timeout_ms}: a task that waits for so long among many hogs ends the policy"
        yield facts.finding("timeout", "note", reason, None, advice)
    if unknown := facts.ops.numbers["flags"] & ~kernel.ALL_FLAGS:
        reason = f"ops.flags has bits that 7.3 does not know ({unknown:#x}): the kernel refuses them (-EINVAL)"
        yield facts.finding("flags", "reject", reason, None, "Use only SCX_OPS_* flags of the target kernel.")
    if facts.ops.by_cid:
        reason = "the policy is in cid form (sched_ext_ops_cid), of which this stage knows little"
        yield facts.finding("cid", "unknown", reason, None, "Prefer struct sched_ext_ops.")


def _hotplug(facts: Facts) -> Iterator[Finding]:
    missing = [f".{name}" for name in ("cpu_online", "cpu_offline") if not facts.has(name)]
    if missing:
        reason = f"no {' and no '.join(missing)}: a CPU that goes or comes ends the policy tidily, and EEVDF goes on"
        advice = "Add both callbacks, even if all they do is count CPUs (SX_COUNTS_CPUS does that)."
        yield facts.finding("F30", "note", reason, None, advice)


def _acts(facts: Facts, entry: str) -> bool:
    return any(call.entry == entry and call.name not in PURE for call in facts.record.calls.values())


def _cgroups(facts: Facts) -> Iterator[Finding]:
    if not any(name.startswith("cgroup_") for name in facts.ops.callbacks):
        reason = "no cgroup callbacks: cpu.weight and cpu.max of cgroups have no effect"
        advice = "Implement cgroup_init, cgroup_set_weight and cgroup_move if cgroups must count."
        yield facts.finding("F41", "note", reason, None, advice)
    for name in CGROUP_OPS:
        if facts.has(name) and facts.complete(name) and not stores(facts, name) and not _acts(facts, name):
            reason = f".{name} throws away what it is told: the cgroup's setting has no effect"
            yield facts.finding("F41", "suspicion", reason, name, "Keep the value and use it, or drop the callback.")


def _yield(facts: Facts) -> Iterator[Finding]:
    """Counting in a global is no effect; a mark in a map or in the task may be what another callback acts on."""
    if not facts.has("yield") or not facts.complete("yield") or _acts(facts, "yield"):
        return
    bases = [root(write.base)[0] for write in facts.record.writes.values() if write.entry == "yield"]
    if all(isinstance(base, Expr) and base.op == "data" for base in bases):
        reason = ".yield does nothing to the task that yields: sched_yield() then keeps the CPU to the end of the slice"
        advice = "Set the task's slice to 0, or drop the callback: without it the kernel does just that."
        yield facts.finding("F40", "suspicion", reason, "yield", advice)


def _enable(facts: Facts) -> Iterator[Finding]:
    """A vtime that a task brings along must have been given to it once: a new task has 0, or its parent's."""
    calls = facts.record.by_name("scx_bpf_task_set_dsq_vtime")
    given = any(call.entry in STARTS and is_task(call.args[0]) for call in calls)
    given = given or any(w.entry in STARTS and w.member == "scx.dsq_vtime" for w in facts.record.writes.values())
    for insert in facts.inserts if not given else ():
        if insert.vtime is not None and any(map(is_vtime, leaves_of(insert.vtime))) and not insert.call.path.compared:
            reason = "tasks are ordered by p->scx.dsq_vtime, which no .enable sets: a new task starts with a stale one"
            advice = "Add an enable callback that sets the task's vtime to the queue's clock."
            yield facts.finding("F15", "suspicion", reason, insert.call, advice)
            return
