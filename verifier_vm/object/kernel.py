# SPDX-License-Identifier: Apache-2.0
"""What Linux 7.3 says of sched_ext: callbacks and their arguments, which kfunc may be called where, numbers of flags.

From kernel/sched/ext of 7.3 (scx_kfunc_context_filter and the kfunc id sets) and include/linux/sched/ext.h.
"""

from __future__ import annotations

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "select_cpu": ("p", "prev_cpu", "wake_flags"), "select_cid": ("p", "prev_cpu", "wake_flags"),
    "enqueue": ("p", "enq_flags"), "dequeue": ("p", "deq_flags"), "dispatch": ("cpu", "prev"), "tick": ("p",),
    "runnable": ("p", "enq_flags"), "running": ("p",), "stopping": ("p", "runnable"), "quiescent": ("p", "deq_flags"),
    "yield": ("p", "to"), "core_sched_before": ("p", "other"), "set_weight": ("p", "weight"),
    "set_cpumask": ("p", "cpumask"), "update_idle": ("cpu", "idle"), "init_task": ("p", "args"),
    "exit_task": ("p", "args"), "enable": ("p",), "disable": ("p",), "dump": ("dump",),
    "dump_cpu": ("dump", "cpu", "idle"), "dump_task": ("dump", "p"), "cgroup_init": ("cgrp", "args"),
    "cgroup_exit": ("cgrp",), "cgroup_prep_move": ("p", "from", "cgrp"), "cgroup_move": ("p", "from", "cgrp"),
    "cgroup_cancel_move": ("p", "from", "cgrp"), "cgroup_set_weight": ("cgrp", "weight"),
    "cgroup_set_bandwidth": ("cgrp", "period", "quota", "burst"), "cgroup_set_idle": ("cgrp", "idle"),
    "cpu_online": ("cpu",), "cpu_offline": ("cpu",), "init": (), "exit": ("info",),
    "cpu_acquire": ("cpu", "args"), "cpu_release": ("cpu", "args"), "sub_ecaps_updated": ("cpu", "old", "new"),
}  # fmt: skip
# Callbacks that need not come while tasks wait.
NEED_NOT_COME = frozenset((
    "init", "exit", "init_task", "exit_task", "enable", "disable", "set_weight", "set_cpumask", "yield",
    "core_sched_before", "cpu_online", "cpu_offline", "cpu_acquire", "cpu_release", "dump", "dump_cpu", "dump_task",
    *(name for name in ARGUMENTS if name.startswith("cgroup_")),
))  # fmt: skip
UPDATED = "value"  # what a map's update puts there, among the fields of its call
SLEEPABLE = ("init", "exit", "init_task", "cpu_online", "cpu_offline", "cgroup_init", "cgroup_exit", "cgroup_prep_move",
             "cgroup_set_bandwidth", "init_cids", "sub_attach", "sub_detach")  # fmt: skip
UNLOCKED = frozenset((*SLEEPABLE, "cgroup_cancel_move", "cgroup_set_weight", "cgroup_set_idle", "dump", "syscall"))
DISPATCH = frozenset(("dispatch", "sub_ecaps_updated"))
SELECT = frozenset(("select_cpu", "enqueue")) | UNLOCKED
INSERTING = frozenset(("select_cpu", "enqueue", "dispatch", "sub_ecaps_updated"))

MOST_TASKS = 1 << 22  # PID_MAX_LIMIT

INSERTS = ("scx_bpf_dsq_insert", "scx_bpf_dsq_insert_vtime", "__scx_bpf_dsq_insert_vtime")
MOVES = ("scx_bpf_dsq_move", "scx_bpf_dsq_move_vtime")
CONSUMES = ("scx_bpf_dsq_move_to_local",)

# Which callbacks may call a kfunc; one that is not named may be called from any.
CONTEXTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(INSERTS, INSERTING),
    **dict.fromkeys(("scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and"), SELECT),
    **dict.fromkeys(("scx_bpf_dispatch_nr_slots", "scx_bpf_dispatch_cancel", "scx_bpf_dsq_move_to_local",
                     "scx_bpf_sub_dispatch"), DISPATCH),
    **dict.fromkeys((*MOVES, "scx_bpf_dsq_move_set_slice", "scx_bpf_dsq_move_set_vtime"), DISPATCH | UNLOCKED),
    "scx_bpf_create_dsq": frozenset((*SLEEPABLE, "syscall")),
    "scx_bpf_dump_bstr": frozenset(("dump", "dump_cpu", "dump_task")),
    "scx_bpf_cid_override": frozenset(("init_cids",)),
}  # fmt: skip
CREATE_NEEDS_SLEEP = "scx_bpf_create_dsq"

GONE = frozenset(("scx_bpf_dispatch", "scx_bpf_dispatch_vtime", "scx_bpf_consume", "scx_bpf_cpu_rq",
                  "scx_bpf_dispatch_from_dsq", "scx_bpf_dispatch_vtime_from_dsq", "scx_bpf_dispatch_from_dsq_set_slice",
                  "scx_bpf_dispatch_from_dsq_set_vtime"))  # fmt: skip
FLAT_IDLE = frozenset(("scx_bpf_pick_idle_cpu", "scx_bpf_pick_any_cpu", "scx_bpf_get_idle_cpumask",
                       "scx_bpf_get_idle_smtmask"))  # fmt: skip
NODE_IDLE = frozenset(f"{name}_node" for name in FLAT_IDLE)
BUILTIN_IDLE = FLAT_IDLE | NODE_IDLE | {"scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and",
                                        "scx_bpf_test_and_clear_cpu_idle"}  # fmt: skip
ENDING = ("scx_bpf_error_bstr", "scx_bpf_exit_bstr")
KEEPING = ("bpf_list_push_front", "bpf_list_push_back", "bpf_list_push_front_impl", "bpf_list_push_back_impl",
           "bpf_rbtree_add", "bpf_rbtree_add_impl")  # fmt: skip

# What gives a CPU's number: kfuncs and helpers, and arguments.
CPU_GIVERS = ("scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and", "scx_bpf_pick_idle_cpu",
              "scx_bpf_pick_any_cpu", "scx_bpf_pick_idle_cpu_node", "scx_bpf_pick_any_cpu_node", "scx_bpf_task_cpu",
              "get_smp_processor_id", "prev_cpu", "cpu")  # fmt: skip
CPU_COUNTERS = ("scx_bpf_nr_cpu_ids",)

# Numbers that the kernel never gives otherwise, so that a branch which asks is not taken: (least, most).
CPU_NUMBERS = (0, (1 << 31) - 1)
ARGUMENT_RANGES = {"prev_cpu": CPU_NUMBERS, "cpu": CPU_NUMBERS, "weight": (1, 10_000)}
RESULT_RANGES = {"scx_bpf_task_cpu": CPU_NUMBERS, "get_smp_processor_id": CPU_NUMBERS,
                 "scx_bpf_nr_cpu_ids": (1, (1 << 31) - 1), "scx_bpf_nr_node_ids": (1, (1 << 31) - 1)}  # fmt: skip
STATIC_PRIO = (100, 139)  # NICE_TO_PRIO of -20 and 19, whatever class a task is of
FIELD_RANGES = {"scx.weight": (1, 10_000), "nr_cpus_allowed": (1, (1 << 31) - 1), "pid": (1, MOST_TASKS),
                "static_prio": STATIC_PRIO}  # fmt: skip
# What a look-up gives, NULL where it finds nothing: the BPF verifier demands a branch for it, whether it can be or not.
NULLABLE = frozenset(("bpf_task_from_pid", "bpf_task_from_vpid", "bpf_task_acquire", "bpf_cgroup_from_id",
                      "bpf_cgroup_acquire", "bpf_cgroup_ancestor", "bpf_cpumask_create", "bpf_cpumask_acquire",
                      "bpf_obj_new_impl", "bpf_percpu_obj_new_impl", "bpf_refcount_acquire_impl", "kptr_xchg",
                      "per_cpu_ptr", "ringbuf_reserve", "scx_bpf_cpu_curr", "scx_bpf_tid_to_task"))  # fmt: skip
# A callback that is called for every task, or cgroup, before any other is, and what it may make then.
FIRST = {"init_task": "task_storage_get", "cgroup_init": "cgrp_storage_get"}
DELETES = frozenset((157, 211))  # task_storage_delete, cgrp_storage_delete

KEEP_BUILTIN_IDLE, ENQ_LAST, ENQ_EXITING, PER_NODE, ENQ_MIGRATION_DISABLED, ALL_FLAGS = 1, 2, 4, 64, 16, 511
ENQ_LAST_BIT, ENQ_IMMED_BIT, ENQ_PREEMPT_BIT, ENQ_HEAD_BIT = 1 << 41, 1 << 33, 1 << 32, 1 << 16
KICK_IDLE, KICK_PREEMPT, KICK_WAIT = 1, 2, 4
DSQ_BUILTIN, DSQ_LOCAL_ON = 1 << 63, 3 << 62
DSQ_GLOBAL, DSQ_LOCAL = 1 << 63 | 1, 1 << 63 | 2
SLICE_INF = (1 << 64) - 1
TIMEOUT_MS_MAX = 30_000
MAX_BATCH = 32  # dispatch_max_batch when it is 0

# Helpers by number (include/uapi/linux/bpf.h), and how many arguments each reads.
HELPERS: dict[int, tuple[str, int]] = {
    1: ("map_lookup_elem", 2), 2: ("map_update_elem", 4), 3: ("map_delete_elem", 2), 4: ("probe_read", 3),
    5: ("ktime_get_ns", 0), 6: ("trace_printk", 5), 7: ("get_prandom_u32", 0), 8: ("get_smp_processor_id", 0),
    14: ("get_current_pid_tgid", 0), 16: ("get_current_comm", 2), 35: ("get_current_task", 0),
    45: ("probe_read_str", 3), 87: ("map_push_elem", 3), 88: ("map_pop_elem", 2), 89: ("map_peek_elem", 2),
    93: ("spin_lock", 1), 94: ("spin_unlock", 1), 112: ("probe_read_user", 3), 113: ("probe_read_kernel", 3),
    115: ("probe_read_kernel_str", 3), 118: ("jiffies64", 0), 125: ("ktime_get_boot_ns", 0),
    130: ("ringbuf_output", 4), 131: ("ringbuf_reserve", 3), 132: ("ringbuf_submit", 2),
    133: ("ringbuf_discard", 2), 153: ("per_cpu_ptr", 2), 154: ("this_cpu_ptr", 1), 156: ("task_storage_get", 4),
    157: ("task_storage_delete", 2), 158: ("get_current_task_btf", 0), 160: ("ktime_get_coarse_ns", 0),
    164: ("for_each_map_elem", 4), 165: ("snprintf", 5), 169: ("timer_init", 3), 170: ("timer_set_callback", 2),
    171: ("timer_start", 3), 172: ("timer_cancel", 1), 177: ("trace_vprintk", 4), 181: ("loop", 4),
    182: ("strncmp", 3), 194: ("kptr_xchg", 2), 195: ("map_lookup_percpu_elem", 3), 208: ("ktime_get_tai_ns", 0),
    209: ("user_ringbuf_drain", 4), 210: ("cgrp_storage_get", 4), 211: ("cgrp_storage_delete", 2),
}  # fmt: skip
READ_ONLY_HELPERS = frozenset(("map_lookup_elem", "map_update_elem", "map_delete_elem", "map_push_elem",
                               "trace_printk", "trace_vprintk", "ringbuf_output", "map_lookup_percpu_elem",
                               "task_storage_get"))  # fmt: skip
READ_ONLY_KFUNCS = frozenset((*INSERTS, "__scx_bpf_select_cpu_and", *ENDING, "scx_bpf_dump_bstr"))
ARRAY, PERCPU_ARRAY = 2, 6  # map types
ARRAYS = (ARRAY, PERCPU_ARRAY)
HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH = 1, 5, 9, 10
PERCPU_HASHES = (PERCPU_HASH, LRU_PERCPU_HASH)
HASHES = (HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH)


def kernel_name(extern: str) -> str:
    """The kernel's name of a kfunc that an object declares: libbpf drops what follows the last "___", and so do we with
    the generation (___v2), which changes a kfunc's prototype and not what it does."""
    return extern.split("___", 1)[0] if not extern.startswith("___") else extern


def exists(extern: str) -> bool:
    """Has 7.3 that kfunc? One that is unknown to us is taken to exist: the kernel stage will say."""
    return kernel_name(extern) not in GONE
