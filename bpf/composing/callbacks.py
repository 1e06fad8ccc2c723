# SPDX-License-Identifier: Apache-2.0
"""The callbacks of a composed policy, in the order of a task's life."""

from __future__ import annotations

from bpf.composing import functions, names
from bpf.composing.layout import body, function
from bpf.composition import Composition

GET = "struct task_ctx *tc = ctx_of(p);"
WOKEN = "bool woken = enq_flags & SX_ENQ_WAKEUP;"
# Callback: C type, arguments, whether it may sleep; in the order of a task's life.
HEADS = {
    "init_task": ("s32", "struct task_struct *p, struct scx_init_task_args *args", True),
    "enable": ("void", "struct task_struct *p", False),
    "runnable": ("void", "struct task_struct *p, u64 enq_flags", False),
    "select_cpu": ("s32", "struct task_struct *p, s32 prev_cpu, u64 wake_flags", False),
    "enqueue": ("void", "struct task_struct *p, u64 enq_flags", False),
    "dispatch": ("void", "s32 cpu, struct task_struct *prev", False),
    "running": ("void", "struct task_struct *p", False),
    "stopping": ("void", "struct task_struct *p, bool runnable", False),
    "quiescent": ("void", "struct task_struct *p, u64 deq_flags", False),
    "update_idle": ("void", "s32 cpu, bool idle", False),
    "init": ("s32", "", True),
    "exit": ("void", "struct scx_exit_info *ei", True),
}


def callbacks(c: Composition) -> dict[str, str]:
    """The text of each that it has."""
    made = {
        "init_task": _init_task(c),
        "enable": _enable(c),
        "runnable": [GET, "", "if (tc)", "\tcount_load(tc, p->scx.weight);"] if c.order == "vtime" else [],
        "select_cpu": _select_cpu(c),
        "enqueue": _enqueue(c),
        "dispatch": _dispatch(c),
        "running": _running(c),
        "stopping": _stopping(c),
        "quiescent": _quiescent(c),
        "update_idle": [f"sx_recheck_before_idle(cpu, idle, {_waits(c)});"],
        "init": _init(c),
        "exit": ["sx_record_exit(&sx_exit, ei);"],
    }
    return {name: _callback(c, name, lines) for name, lines in made.items() if lines}


def _callback(c: Composition, name: str, lines: list[str]) -> str:
    kind, given, sleeps = HEADS[name]
    head = f"{kind} SX_OP{'_SLEEPABLE' if sleeps else ''}({c.name}_{name}{', ' + given if given else ''})"
    return function(head, lines)


def _waits(c: Composition) -> str:
    return "idle && sx_any_queued(queues)" if c.several else f"sx_dsq_nr_queued({names.queue_enum(c)}) > 0"


def _init_task(c: Composition) -> list[str]:
    if not c.remembers:
        return []
    get = "bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE)"
    if not c.bursts and c.order != "interactive":
        return [f"return {get} ? 0 : -ENOMEM;"]
    return [
        f"struct task_ctx *tc = {get};", "", "if (!tc)", "\treturn -ENOMEM;",
        *(["sx_mark_cpu_time(p, &tc->burst.mark);"] if c.bursts else []),
        *(["tc->sleeps = SX_ALL; /* until it shows that it does not */"] if c.order == "interactive" else []),
        "return 0;",
    ]  # fmt: skip


def _enable(c: Composition) -> list[str]:
    if c.order != "vtime":
        return []
    return [
        GET, "",
        "/* A slice behind: or a loop of short-lived children would always run before the tasks that wait. */",
        "if (tc)", "\ttc->vtime = clock + sx_scale_by_weight(slice_ns, p->scx.weight);",
    ]  # fmt: skip


def _select_cpu(c: Composition) -> list[str]:
    place = {"previous": "sx_place_on_prev_cpu", "core": "sx_place_on_idle_core", "warm": "sx_place_on_warm_cpu"}
    more = ", ran_at, cpu_ids, warm_ns" if c.place == "warm" else ""
    called = place.get(c.place, "sx_place_on_idle_cpu")
    return [f"return {called}(p, prev_cpu, wake_flags, {names.own_slice(c, 'p')}{more});"]


def _enqueue(c: Composition) -> list[str]:
    record, vtime = names.asks_record(c), c.order == "vtime"
    cpu = "cpu" if c.place == "two" else "sx_task_cpu(p)"
    put_off = "woken ? 0 : expired_wait_ns"
    if names.has_put_off(c):
        put_off = names.put_off(c, task="p", woken="woken")
        put_off = f"tc ? {put_off} : 0" if record and not vtime else put_off
    kept = c.preempt == "earlier" and not vtime
    declared = [
        *([GET] if record else []),
        *([WOKEN] if c.order == "woken" or c.preempt != "none" else []),
        *(["u32 cpu = shorter_of_two(p);"] if c.place == "two" else []),
        *([f"s64 put_off = {put_off};"] if kept else []),
        *(["s64 put_off = 0;"] if vtime else []),
    ]
    used = "put_off" if kept or vtime else put_off
    insert = f"sx_insert(p, {names.queue(c, cpu)}, {names.own_slice(c, 'p')}, enq_flags);"
    if c.due:
        insert = f"sx_insert_due(p, {names.queue(c, cpu)}, {names.own_slice(c, 'p')}, {used}, enq_flags);"
    statements = [
        f"if (sx_insert_woken_kthread(p, {names.own_slice(c, 'p')}, enq_flags))", "\treturn;",
        *(_clamp(put_off) if vtime else []), insert, *_wake(c, cpu),
    ]  # fmt: skip
    return body(declared, statements)


def _clamp(put_off: str) -> list[str]:
    return [
        "if (tc) {",
        "\ttc->vtime = sx_clamp_vtime(tc->vtime, clock, lag_ns, sx_vtime_lead(wait_ns, cpus, load));",
        "\ttc->queued = true;", f"\tput_off = {put_off};", "}",
    ]  # fmt: skip


def _wake(c: Composition, cpu: str) -> list[str]:
    wake = "sx_wake_idle_core_for(p)" if c.place == "core" else "sx_wake_idle_cpu_for(p)"
    if c.preempt == "none":
        return [f"{wake};"]
    given = ["p", *([cpu] if c.several else []), *(["put_off"] if c.preempt == "earlier" else [])]
    switch = " && preempt" if c.preempt == "woken" else ""
    return [f"if (!{wake} && woken{switch})", f"\tpreempt_for({', '.join(given)});"]


def _dispatch(c: Composition) -> list[str]:
    again = f"\tsx_set_slice(prev, {names.own_slice(c, 'prev')});"
    waits, take = "bool prev_waits = sx_wants_cpu(prev);", f"sx_move_to_local({names.queue(c, 'cpu')})"
    if not c.several:
        if not c.keeps:
            return [f"if (!{take} && sx_wants_cpu(prev))", again]
        return [waits, "", f"if ((prev_waits && is_still_first(prev)) || (!{take} && prev_waits))", again]
    steal = f"sx_steal_any({names.number(c, 'cpu')}, queues)"
    other = {"empty": f"visits_others(cpu) && {steal}", "imbalance": "even_out(cpu, prev_waits)",
             "overdue": "take_overdue(cpu)"}[c.steal]  # fmt: skip
    if not c.keeps:
        first = f"({other})" if "&&" in other else other
        return [waits, "", f"if ({first} || {take} || {steal})", "\treturn;", "if (prev_waits)", again]
    return [
        waits, "", f"if ({other})", "\treturn;",
        f"if ((prev_waits && is_still_first(prev, cpu)) || (!{take} && !{steal} && prev_waits))", again,
    ]  # fmt: skip


def _running(c: Composition) -> list[str]:
    record = c.order == "vtime" or (c.preempt == "earlier" and names.asks_record(c))
    cpu = "sx_task_cpu(p)"
    waiting = f"sx_dsq_nr_queued({names.queue(c, cpu)})"
    share = {"one": "cpus", "llc": "cpus / queues ?: 1", "cpu": "1"}[c.queues]
    turn = "turn_ns(p)" if c.guard == "short" else names.own_slice(c, "p")
    cut = f"sx_cut_slice(p, sx_bounded_slice({turn}, {waiting}, {share}));"
    began = f"*sx_entry(turn_began, {cpu}) = sx_now();"
    call = names.put_off(c, task="p", woken="false") if names.has_put_off(c) else ""
    put_off = f"*sx_entry(turn_put_off, {cpu}) = {call};"
    declared = [GET] if record else []
    statements = [
        *(["if (!tc)", "\treturn;"] if record else []),
        *(VTIME_RUNS if c.order == "vtime" else []),
        *([began] if c.preempt != "none" else []),
        *([put_off] if c.preempt == "earlier" else []),
        cut,
    ]
    return body(declared, statements)


VTIME_RUNS = [
    "/* A task placed on an idle CPU competed with nobody: its vtime says nothing of the queue's. */",
    "if (tc->queued)", "\tsx_advance_vtime(&clock, tc->vtime);",
    "tc->queued = false;", "sx_mark_cpu_time(p, &tc->mark);",
]  # fmt: skip


def _stopping(c: Composition) -> list[str]:
    of_task = {"vtime": "charge(p, tc);", "interactive": "sx_count_turn(&tc->sleeps, !runnable);"}.get(c.order, "")
    cooled = ["*sx_entry(ran_at, sx_task_cpu(p)) = sx_now();"] if c.place == "warm" else []
    return body([GET] if of_task else [], [*(["if (tc)", f"\t{of_task}"] if of_task else []), *cooled])


def _quiescent(c: Composition) -> list[str]:
    vtime, ends = c.order == "vtime", "sx_end_burst(p, &tc->burst);"
    if not vtime and not c.bursts:
        return []
    if not vtime:
        return [GET, "", "if (tc && (deq_flags & SX_DEQ_SLEEP))", f"\t{ends}"]
    if not c.bursts:
        return [GET, "", "if (tc)", "\tcount_load(tc, 0);"]
    return [GET, "", "if (!tc)", "\treturn;", "count_load(tc, 0);", "if (deq_flags & SX_DEQ_SLEEP)", f"\t{ends}"]


def _init(c: Composition) -> list[str]:
    cpu_ids = (c.preempt != "none" and not c.several) or c.place == "warm"
    count = ["cpus = sx_nr_online_cpus();", *(["cpu_ids = sx_nr_cpu_ids();"] if cpu_ids else [])]
    if not c.several:
        return [*count, f"return sx_create_dsq({names.queue_enum(c)});"]
    llcs = "sx_number_llcs(llc_of, llc_number, sx_nr_cpu_ids())"
    return [
        "s32 queue, err;", "", *count, f"queues = {llcs if c.queues == 'llc' else 'sx_nr_cpu_ids()'};",
        "bpf_for(queue, 0, (s32)queues) {", f"\terr = sx_create_dsq({names.queue_enum(c)} + queue);",
        "\tif (err)", "\t\treturn err;", "}", "return 0;",
    ]  # fmt: skip


__all__ = ["HEADS", "callbacks", "functions"]
