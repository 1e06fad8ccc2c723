# SPDX-License-Identifier: Apache-2.0
"""What a policy remembers of tasks and cgroups: task storage or a table by pid, virtual time, weights of groups."""

from __future__ import annotations

from dataclasses import replace

from policy_fuzz.designs import Design
from policy_fuzz.program import Lines, Program, line

STORAGE = """\
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");"""
BY_PID = """\
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, $entries);
	__type(key, s32);
	__type(value, struct task_ctx);
} tasks SEC(".maps");"""
ENTRIES = "32768"
GROUPS = """\
struct cgroup_ctx {
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cgroup_ctx);
} groups SEC(".maps");

struct cgroup *bpf_cgroup_from_id(u64 id) __ksym;
void bpf_cgroup_release(struct cgroup *cgrp) __ksym;"""
CTX_OF = "static __always_inline struct task_ctx *ctx_of(const struct task_struct *p)"
GET = line("get", "struct task_ctx *tc = ctx_of(p);")


def keep(program: Program, design: Design) -> Program:
    """The same policy with the records that its design asks for."""
    if design.storage == "none":
        return program
    fields = "\tu64 mark; /* CPU time when it last started to run */\n\tu64 used; /* CPU time since then */"
    if design.groups == "weights":
        fields += "\n\tu64 group; /* the id of its cgroup */"
    record = f"struct task_ctx {{\n{fields}\n}};"
    by_pid = design.storage == "hash"
    table = BY_PID.replace("$entries", ENTRIES) if by_pid else STORAGE
    get: Lines = (line("pid", "s32 pid = p->pid;"), line("found", "return bpf_map_lookup_elem(&tasks, &pid);"))
    if not by_pid:
        get = (line("found", "return bpf_task_storage_get(&tasks, (struct task_struct *)p, 0, 0);"),)
    callbacks = {**program.callbacks, **(_by_pid() if by_pid else _stored(design))}
    callbacks["running"] = (
        GET, line("mark", "if (tc)", line("mark_is", "sx_mark_cpu_time(p, &tc->mark);")),
        *program.callbacks.get("running", ()),
    )  # fmt: skip
    callbacks["stopping"] = (
        GET, line("used", "if (tc)", line("used_is", "tc->used += sx_cpu_time_since(p, tc->mark);")),
    )  # fmt: skip
    kept = replace(program, declarations=(*program.declarations, record, table), callbacks=callbacks,
                   helpers={CTX_OF: get, **program.helpers})  # fmt: skip
    if design.queues == "vtime":
        return _virtual_time(kept, design)
    return _groups(kept, design) if design.groups == "weights" else kept


def _stored(design: Design) -> dict[str, Lines]:
    create = line("create", "struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);")
    fails = line("fails", "if (!tc)", line("no_room", "return -ENOMEM;"))
    group = line("group", "tc->group = args->cgroup->kn->id;")
    more = (group,) if design.groups == "weights" else ()
    return {"init_task": (create, fails, *more, line("made", "return 0;"))}


def _by_pid() -> dict[str, Lines]:
    # What finds no room is not counted, and runs as well.
    return {
        "init_task": (
            line("zero", "struct task_ctx zero = {};"),
            line("pid", "s32 pid = p->pid;"),
            line("create", "bpf_map_update_elem(&tasks, &pid, &zero, BPF_ANY);"),
            line("made", "return 0;"),
        ),
        "exit_task": (
            line("pid", "s32 pid = p->pid;"),
            line("delete", "bpf_map_delete_elem(&tasks, &pid);"),
        ),
    }


def _virtual_time(program: Program, design: Design) -> Program:
    charge = (
        GET,
        line("missing", "if (!tc)", line("nothing", "return;")),
        line("charge", "sx_set_vtime(p, p->scx.dsq_vtime + $cost);",
             cost="sx_scale_by_weight(sx_cpu_time_since(p, tc->mark), p->scx.weight)"),
        line("mark", "sx_mark_cpu_time(p, &tc->mark);"),
    )  # fmt: skip
    helpers = {**program.helpers, "static __always_inline void charge(struct task_struct *p)": charge}
    callbacks = {
        **program.callbacks,
        "enable": (line("start", "sx_set_vtime(p, $vtime);", vtime="clock"),),
        "running": (*program.callbacks["running"], line("advance", "sx_advance_vtime(&clock, p->scx.dsq_vtime);")),
        "stopping": (line("charge", "charge(p);"),),
    }
    if design.dispatch == "keep":
        # prev's slice ended and the queue does not hold it: is it still before the queue's first?
        helpers["static __always_inline bool goes_on(struct task_struct *prev)"] = (
            line("charge", "charge(prev);"),
            line("first", "struct task_struct *first = sx_dsq_peek(QUEUE);"),
            # Who is bound to a CPU that real-time tasks held lags by seconds, and would go on until it had caught up.
            line("before", "return !first || sx_before($prev, $first);", first="first->scx.dsq_vtime",
                 prev=f"sx_clamp_vtime(prev->scx.dsq_vtime, clock, {lag(design)}, {lead(design)})"),
        )  # fmt: skip
        keep = line("again", "sx_set_slice(prev, $slice);", slice=_slice(design))
        callbacks["dispatch"] = (
            line("keep", "if ($wants)", keep, line("kept", "return;"), wants="sx_wants_cpu(prev) && goes_on(prev)"),
            line("move", "sx_move_to_local($queue);", queue="QUEUE"),
        )
    clock = "static u64 clock; /* the highest vtime with which a task came to run */"
    return replace(program, helpers=helpers, callbacks=callbacks, declarations=(*program.declarations, clock))


def lag(design: Design) -> str:
    """How far behind the clock a task may stand."""
    return f"{design.number} * SX_MS"


def lead(design: Design) -> str:
    """How far before it: how long a light task may be put off."""
    return f"{10 * min(3, int(design.slice_ms))} * SX_MS"


def _slice(design: Design) -> str:
    return "slice_ns" if design.slice == "knob" else f"{design.slice_ms} * SX_MS"


def _groups(program: Program, design: Design) -> Program:
    """Slices by the weight of the task's cgroup."""
    weight = (
        line("find", "struct cgroup *cgrp = bpf_cgroup_from_id(id);"),
        line("default", "u32 weight = 100;"),
        line("cg", "struct cgroup_ctx *cg;"),
        line("gone", "if (!cgrp)", line("then", "return weight;")),
        line("get", "cg = bpf_cgrp_storage_get(&groups, cgrp, 0, 0);"),
        line("read", "if (cg)", line("weight", "weight = cg->weight;")),
        line("release", "bpf_cgroup_release(cgrp);"),
        line("return", "return weight;"),
    )
    scaled = (
        GET,
        line("scale", "u64 ns = $base * $by / 100;", base=f"{design.slice_ms} * SX_MS",
             by="(tc ? weight_of_group(tc->group) : 100)"),
        line("floor", "if (ns < SX_MS)", line("floor_is", "return SX_MS;")),
        line("ceiling", "return ns > 20 * SX_MS ? 20 * SX_MS : ns;"),
    )  # fmt: skip
    helpers = {
        **program.helpers,
        "static __noinline u32 weight_of_group(u64 id)": weight,
        "static __always_inline u64 group_slice(const struct task_struct *p)": scaled,
    }
    cg = line("cg", "struct cgroup_ctx *cg = bpf_cgrp_storage_get(&groups, cgrp, 0, $create);", create="0")
    make = line("cg", cg.text, create="BPF_LOCAL_STORAGE_GET_F_CREATE")
    callbacks = {
        **program.callbacks,
        "cgroup_init": (
            make, line("fails", "if (!cg)", line("no_room", "return -ENOMEM;")),
            line("weight", "cg->weight = $weight;", weight="args->weight"), line("made", "return 0;"),
        ),
        "cgroup_move": (GET, line("group", "if (tc)", line("group_is", "tc->group = to->kn->id;"))),
        "cgroup_set_weight": (cg, line("weight", "if (cg)", line("weight_is", "cg->weight = weight;"))),
    }  # fmt: skip
    return replace(program, helpers=helpers, callbacks=callbacks, declarations=(*program.declarations, GROUPS))
