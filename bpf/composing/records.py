# SPDX-License-Identifier: Apache-2.0
"""What a composed policy keeps: a record of each task, tables by CPU, counters."""

from __future__ import annotations

from bpf.composing.layout import function
from bpf.composition import Composition

STORAGE = """\
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");"""
VTIME_FIELDS = (
    "u64 vtime;", "u64 mark; /* CPU time when it last started to run */", "s64 counted; /* its part of `load` */",
    "bool queued; /* came to its CPU through the queue */",
)  # fmt: skip
CTX_OF = function(
    "static __always_inline struct task_ctx *ctx_of(struct task_struct *p)",
    ["return bpf_task_storage_get(&tasks, p, 0, 0);"],
)


def record(c: Composition) -> list[str]:
    """The record of a task and the map that holds it."""
    fields = [
        *(VTIME_FIELDS if c.order == "vtime" else ()),
        *(("struct sx_burst burst;",) if c.bursts else ()),
        *(("u32 sleeps; /* share of its turns that end in sleep */",) if c.order == "interactive" else ()),
    ]
    text = "\n".join(f"\t{field}" for field in fields)
    return [f"struct task_ctx {{\n{text}\n}};", STORAGE] if fields else []


def variables(c: Composition) -> str:
    """Tables by CPU and counters, one to a line."""
    looks = (c.preempt != "none" and not c.several) or c.place == "two"
    counters = [
        *(["cpu_ids"] if (c.preempt != "none" and not c.several) or c.place == "warm" else []),
        *(["queues"] if c.several else []),
        *(["next_look"] if looks else []),
    ]
    lines = [
        *(["static u64 turn_began[SX_MAX_CPUS];"] if c.preempt != "none" else []),
        *([PUT_OFF] if c.preempt == "earlier" else []),
        *(["static u64 ran_at[SX_MAX_CPUS]; /* when the last turn on a CPU ended */"] if c.place == "warm" else []),
        *(["static u32 llc_of[SX_MAX_CPUS], llc_number[SX_MAX_CPUS];"] if c.queues == "llc" else []),
        *(["static bool took_last_turn[SX_MAX_CPUS];"] if c.steal == "imbalance" else []),
        *(["static u32 turns[SX_MAX_CPUS];"] if c.steal in ("empty", "overdue") else []),
        *([f"static u32 {', '.join(counters)};"] if counters else []),
        *(VTIME_CLOCK if c.order == "vtime" else []),
    ]  # fmt: skip
    return "\n".join(lines)


PUT_OFF = "static s64 turn_put_off[SX_MAX_CPUS]; /* of the task whose turn it is */"
VTIME_CLOCK = [
    "static u64 clock; /* highest vtime with which a task came from a queue to a CPU */",
    "static s64 load; /* sum of the weights of the runnable tasks */",
]
