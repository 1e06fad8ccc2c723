# SPDX-License-Identifier: Apache-2.0
"""The small functions of a composed policy: what its choices compute, out of the primitives."""

from __future__ import annotations

from bpf.composing import names, records
from bpf.composing.layout import body, function
from bpf.composition import Composition

INLINE = "static __always_inline"
TASK = "const struct task_struct *p"
VTIME = (
    function(
        f"{INLINE} void count_load(struct task_ctx *tc, s64 weight)",
        ["__sync_fetch_and_add(&load, weight - tc->counted);", "tc->counted = weight;"],
    ),
    function(
        f"{INLINE} void charge({TASK}, struct task_ctx *tc)",
        [
            "tc->vtime += sx_scale_by_weight(sx_cpu_time_since(p, tc->mark), p->scx.weight);",
            "sx_mark_cpu_time(p, &tc->mark);",
        ],
    ),
)
BACKGROUND = {
    "nice": "p->scx.weight < SX_WEIGHT_NICE_0",
    "burst": "sx_expected_burst_ns(p, &tc->burst) > burst_ns",
    "kthread": "!sx_is_kthread(p)",
}
PUT_OFF = {
    "woken": "woken ? 0 : expired_wait_ns",
    "vtime": "sx_vtime_due_in(tc->vtime, clock, cpus, load)",
    "deadline": "sx_put_off_by_weight(deadline_ns, p->scx.weight, wait_ns)",
    "shortest": "sx_put_off_by_length(sx_expected_burst_ns(p, &tc->burst), stretch, wait_ns)",
    "interactive": "sx_put_off_by_sleep(tc->sleeps, wait_ns)",
    "longest": "sx_put_off_short(p->se.sum_exec_runtime, long_ns, wait_ns)",
}
SHORT_BURST = "sx_expected_burst_ns(p, &tc->burst) < burst_ns"


def functions(c: Composition) -> list[str]:
    """All that it needs, each after those that it calls."""
    return [
        *([records.CTX_OF] if c.remembers else []),
        *(VTIME if c.order == "vtime" else []),
        *([queue_of(c)] if c.queues == "llc" else []),
        *([slice_of(c)] if c.slice != "bounded" else []),
        *([put_off_ns(c)] if names.has_put_off(c) else []),
        *([turn_ns(c)] if c.guard == "short" else []),
        *([is_still_first(c)] if c.keeps else []),
        *([TAKES[c.steal](c)] if c.several else []),
        *([SHORTER] if c.place == "two" else []),
        *([preempt_for(c)] if c.preempt != "none" else []),
    ]


def queue_of(c: Composition) -> str:
    """The queue of a CPU's cache."""
    return function(f"{INLINE} u64 queue_of(s32 cpu)", [f"return {names.queue_enum(c)} + *sx_entry(llc_of, cpu);"])


def slice_of(c: Composition) -> str:
    """How long a task may run, by its weight or its bursts."""
    if c.slice == "weight":
        return function(f"{INLINE} u64 slice_of({TASK})", ["return sx_slice_by_weight(slice_ns, p->scx.weight);"])
    lines = [
        "struct task_ctx *tc = ctx_of(p);", "",
        "return sx_slice_for_burst(tc ? sx_expected_burst_ns(p, &tc->burst) : 0, slice_ns, long_slice_ns);",
    ]  # fmt: skip
    return function(f"{INLINE} u64 slice_of(struct task_struct *p)", lines)


def put_off_ns(c: Composition) -> str:
    """The order's rule, and what background work is put off on top."""
    given = ", ".join(f"{of}{name}" for of, name in names.put_off_args(c))
    head = f"{INLINE} s64 put_off_ns({given})"
    comment = "/* How long the task can be put off from now on. */"
    if c.order == "fifo":
        return function(head, [f"return {BACKGROUND[c.classes]} ? background_wait_ns : 0;"], comment)
    declared = [f"s64 class_ns = {BACKGROUND[c.classes]} ? background_wait_ns : 0;"] if c.classes != "none" else []
    plus = "class_ns + " if declared else ""
    rule = PUT_OFF[c.order]
    if plus and c.order == "woken":
        rule = f"({rule})"
    last = [f"return {plus}{rule};"]
    if c.order == "longest":
        last = [f"if ({SHORT_BURST})", f"\treturn {'class_ns' if declared else '0'};", *last]
    return function(head, body(declared, last), comment)


def turn_ns(c: Composition) -> str:
    """The guard's short turn."""
    kind = "" if c.slice == "burst" else "const "
    lines = [
        f"return sx_before(p->scx.dsq_vtime + aged_ns, sx_now()) ? aged_slice_ns : {names.own_slice(c, 'p')};",
    ]
    comment = (
        "/* Short for what has waited long past its due time, so that the order holds for the rest of the time. */"
    )
    return function(f"{INLINE} u64 turn_ns({kind}struct task_struct *p)", lines, comment)


def is_still_first(c: Composition) -> str:
    """Whether the task whose slice ended would be the first again."""
    call = names.put_off(c, task="prev", woken="false")
    overdue = f"!sx_head_overdue({names.queue(c, 'cpu')}, sx_now() + {call}, 0)"
    comment = (
        "/* May prev go on, though its slice ended? The queue does not hold it, "
        "so it is compared with the queue's first. */"
    )
    cpu = ", s32 cpu" if c.several else ""
    lines = [f"return sx_can_peek() && {overdue};"]
    if names.asks_record(c):
        lines = [
            "struct task_ctx *tc = ctx_of(prev);", "",
            "if (!tc || !sx_can_peek())", "\treturn false;",
            *(["charge(prev, tc);"] if c.order == "vtime" else []),
            f"return {overdue};",
        ]  # fmt: skip
    return function(f"{INLINE} bool is_still_first(struct task_struct *prev{cpu})", lines, comment)


def _visits(c: Composition) -> str:
    del c
    comment = (
        "/* Does another's queue go first this time? Its CPUs may have no time for some that wait there, or be off. */"
    )
    lines = ["u32 *turn = sx_entry(turns, cpu);", "", "*turn += 1;", "return *turn % visit_every == 0;"]
    return function(f"{INLINE} bool visits_others(u32 cpu)", lines, comment)


def _evens_out(c: Composition) -> str:
    lines = [
        f"u32 own = {names.number(c, 'cpu')}, longest;", "bool *took = sx_entry(took_last_turn, cpu);", "",
        "*took = !*took;", "if (!*took)", "\treturn false;",
        "longest = sx_longest_queue(own, queues, probes);",
        "if (sx_dsq_nr_queued(longest) < sx_dsq_nr_queued(own) + prev_waits + (s32)imbalance)", "\treturn false;",
        "return longest != own && sx_move_to_local(longest);",
    ]  # fmt: skip
    comment = "/* Take a task from a clearly longer queue, but not twice running. */"
    return function(f"{INLINE} bool even_out(u32 cpu, bool prev_waits)", lines, comment)


def _takes_overdue(c: Composition) -> str:
    # Two CPUs that always took each other's overdue tasks would never come to those that are bound to themselves.
    lines = [
        "u32 turn = (*sx_entry(turns, cpu))++;",
        f"u32 own = {names.number(c, 'cpu')}, other = sx_another(own, queues, turn / 2);",
        "",
        "if (turn % 2 || other >= queues || !sx_head_overdue(other, sx_now(), overdue_ns))",
        "\treturn false;",
        "return sx_move_to_local(other);",
    ]
    comment = (
        "/* Take from another queue if its first is long overdue, each queue in its time, but not twice running. */"
    )
    return function(f"{INLINE} bool take_overdue(u32 cpu)", lines, comment)


TAKES = {"empty": _visits, "imbalance": _evens_out, "overdue": _takes_overdue}
SHORTER = function(
    f"{INLINE} u32 shorter_of_two({TASK})",
    [
        "u32 own = sx_task_cpu(p), other = sx_another(own, queues, __sync_fetch_and_add(&next_look, 1));", "",
        "if (!sx_can_run_on(p, other) || !sx_cpu_online(other))", "\treturn own;",
        "return sx_dsq_nr_queued(other) < sx_dsq_nr_queued(own) ? other : own;",
    ],
    "/* The CPU with the shorter queue: the task's own, or another, each in its time. */",
)  # fmt: skip


def preempt_for(c: Composition) -> str:
    """How a turn is ended for a task that found no idle CPU."""
    if c.preempt == "woken":
        return _longer_turn() if not c.several else _own_turn()
    return _later_due(c)


def _longer_turn() -> str:
    lines = [
        "u32 own = sx_task_cpu(p), other = sx_another(own, cpu_ids, __sync_fetch_and_add(&next_look, 1));",
        "u64 now = sx_now();", "s64 own_ns = sx_turn_ns(turn_began, own, now);",
        "s64 other_ns = sx_in_mask_of(p, other) ? sx_turn_ns(turn_began, other, now) : 0;", "",
        "if (own_ns >= other_ns && own_ns > (s64)protect_ns)", "\tsx_kick_cpu(own, SX_KICK_PREEMPT);",
        "else if (other_ns > (s64)protect_ns)", "\tsx_kick_cpu(other, SX_KICK_PREEMPT);",
    ]  # fmt: skip
    comment = (
        "/* End the longer of two turns: that on the task's own CPU, and that on another, each CPU in its time. */"
    )
    return function(f"{INLINE} void preempt_for({TASK})", lines, comment)


def _own_turn() -> str:
    lines = [
        "if (sx_turn_ns(turn_began, cpu, sx_now()) > (s64)protect_ns)", "\tsx_kick_cpu(cpu, SX_KICK_PREEMPT);",
    ]  # fmt: skip
    comment = "/* End the turn on the CPU whose queue the task waits in. */"
    return function(f"{INLINE} void preempt_for({TASK}, s32 cpu)", lines, comment)


def _later_due(c: Composition) -> str:
    may_end = function(
        f"{INLINE} bool may_end_turn(u32 cpu, s64 put_off)",
        [
            "return sx_turn_ns(turn_began, cpu, sx_now()) > (s64)protect_ns &&",
            "       *sx_entry(turn_put_off, cpu) > put_off + (s64)margin_ns;",
        ],
        "/* Would the task on a CPU be due later than one that can be put off by so much, and has it had its time? */",
    )
    if c.several:
        head = f"{INLINE} void preempt_for({TASK}, s32 cpu, s64 put_off)"
        lines = ["if (may_end_turn(cpu, put_off))", "\tsx_kick_cpu(cpu, SX_KICK_PREEMPT);"]
        return f"{may_end}\n\n" + function(head, lines)
    lines = [
        "u32 own = sx_task_cpu(p), other = sx_another(own, cpu_ids, __sync_fetch_and_add(&next_look, 1));", "",
        "if (may_end_turn(own, put_off))", "\tsx_kick_cpu(own, SX_KICK_PREEMPT);",
        "else if (sx_in_mask_of(p, other) && may_end_turn(other, put_off))", "\tsx_kick_cpu(other, SX_KICK_PREEMPT);",
    ]  # fmt: skip
    comment = (
        "/* End a turn of a task that is due later: on the task's own CPU, or on another, each CPU in its time. */"
    )
    return f"{may_end}\n\n" + function(f"{INLINE} void preempt_for({TASK}, s64 put_off)", lines, comment)
