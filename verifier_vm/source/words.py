# SPDX-License-Identifier: Apache-2.0
"""The vocabulary: what the functions that a policy calls do, under all the names that kernels and headers gave them."""

from __future__ import annotations

TASK, DSQ, SLICE = 0, 1, 2  # where every insert has its arguments
VTIME = 3
APPENDS = frozenset({"sx_insert", "scx_bpf_dsq_insert", "scx_bpf_dispatch"})
ORDERS = frozenset({"sx_insert_vtime", "scx_bpf_dsq_insert_vtime", "scx_bpf_dispatch_vtime"})
INSERTS = APPENDS | ORDERS
# Also put the task somewhere, by way of a primitive of ours; the task is the first argument there too.
PLACES_ON_IDLE = frozenset({
    "sx_place_on_idle_cpu", "sx_place_on_prev_cpu", "sx_place_on_idle_core", "sx_place_on_warm_cpu",
})  # fmt: skip
PLACES = INSERTS | PLACES_ON_IDLE | {"sx_insert_due", "sx_insert_woken_kthread"}

CREATES = frozenset({"sx_create_dsq", "scx_bpf_create_dsq"})
DESTROYS = frozenset({"sx_destroy_dsq", "scx_bpf_destroy_dsq"})
KICKS = frozenset({"sx_kick_cpu", "scx_bpf_kick_cpu"})
SETS_SLICE = frozenset({"sx_set_slice", "scx_bpf_task_set_slice", "sx_cut_slice"})
SETS_VTIME = frozenset({"sx_set_vtime", "scx_bpf_task_set_dsq_vtime"})
ERRORS = frozenset({"scx_bpf_error_bstr"})

# A CPU that was idle, or a negative number when none was.
IDLE_OR_NEGATIVE = frozenset({
    "sx_pick_idle_cpu", "scx_bpf_pick_idle_cpu", "scx_bpf_pick_idle_cpu_node", "scx_bpf_select_cpu_and",
})  # fmt: skip
# Whoever calls one of these has asked where the task may run.
ASKS_AFFINITY = PLACES_ON_IDLE | frozenset({
    "bpf_cpumask_test_cpu", "sx_can_run_on", "sx_select_cpu_dfl", "scx_bpf_select_cpu_dfl",
    "scx_bpf_select_cpu_and", "sx_pick_idle_cpu", "sx_pick_any_cpu", "scx_bpf_pick_idle_cpu", "scx_bpf_pick_any_cpu",
    "scx_bpf_pick_idle_cpu_node", "scx_bpf_pick_any_cpu_node", "bpf_cpumask_any_distribute", "bpf_cpumask_first",
    "bpf_cpumask_any_and_distribute", "bpf_cpumask_first_and", "bpf_cpumask_and", "bpf_cpumask_subset", "sx_is_pinned",
    "bpf_cpumask_copy", "bpf_cpumask_intersects",
})  # fmt: skip
ASKS_AFFINITY_FIELDS = frozenset({"cpus_ptr", "cpus_mask", "nr_cpus_allowed"})
COUNTS_CPUS = frozenset({"sx_nr_cpu_ids", "sx_nr_online_cpus", "scx_bpf_nr_cpu_ids"})

CLOCKS = frozenset({"sx_now", "scx_bpf_now", "bpf_ktime_get_ns", "bpf_ktime_get_boot_ns", "bpf_ktime_get_tai_ns"})
SCALES = frozenset({"sx_scale_by_weight"})
CPU_TIME = frozenset({"sx_cpu_time_since"})
# Known to leave a vtime where it is; anything else that is given one may well clamp it.
NO_CLAMP = (
    INSERTS | SETS_VTIME | SCALES | CPU_TIME | CLOCKS | SETS_SLICE | KICKS
    | {"sx_insert_due", "sx_advance_vtime", "sx_vtime_lead", "sx_before", "sx_mark_cpu_time", "sx_wake_idle_cpu_for",
       "bpf_task_storage_get", "bpf_map_lookup_elem", "bpf_map_update_elem", "sx_head_overdue"}
)  # fmt: skip
PUSHES = frozenset({"bpf_map_push_elem"})

# Callbacks that run with a run queue or the task locked, so that time spent in them is time that a CPU stands still.
LOCKED = frozenset({
    "select_cpu", "enqueue", "dequeue", "dispatch", "tick", "runnable", "running", "stopping", "quiescent", "yield",
    "core_sched_before", "set_weight", "set_cpumask", "update_idle", "enable", "disable", "exit_task", "cgroup_move",
    "cpu_acquire", "cpu_release",
})  # fmt: skip


def base(name: str) -> str:
    """A function's name without the marks of generation: `__scx_bpf_dsq_insert_vtime___v2___sx` is the plain one."""
    if name.startswith("____"):
        return name
    plain = name.split("___", 1)[0]
    return plain[2:] if plain.startswith("__scx_bpf") else plain
