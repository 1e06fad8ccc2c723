// fails: fair: both had them before it came
// bug: F41
// SPDX-License-Identifier: GPL-2.0-only
/* Keeps weights of cgroups, but takes none from cgroup_init: those that were there before it all count the same. */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum f41_before_dsq {
	QUEUE = 0,
};

static u32 cpus;

struct task_ctx {
	u64 mark; /* CPU time when it last started to run */
	u64 used; /* CPU time since then */
	u64 group; /* the id of its cgroup */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

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
void bpf_cgroup_release(struct cgroup *cgrp) __ksym;

SX_EXIT_RECORD();

static __always_inline struct task_ctx *ctx_of(const struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, (struct task_struct *)p, 0, 0);
}

static __noinline u32 weight_of_group(u64 id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(id);
	u32 weight = 100;
	struct cgroup_ctx *cg;
	if (!cgrp) {
		return weight;
	}
	cg = bpf_cgrp_storage_get(&groups, cgrp, 0, 0);
	if (cg) {
		weight = cg->weight;
	}
	bpf_cgroup_release(cgrp);
	return weight;
}

static __always_inline u64 group_slice(const struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);
	u64 ns = 5 * SX_MS * (tc ? weight_of_group(tc->group) : 100) / 100;
	if (ns < SX_MS) {
		return SX_MS;
	}
	return ns > 20 * SX_MS ? 20 * SX_MS : ns;
}

s32 SX_OP_SLEEPABLE(f41_before_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!tc) {
		return -ENOMEM;
	}
	tc->group = args->cgroup->kn->id;
	return 0;
}

s32 SX_OP(f41_before_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, SX_PICK_IDLE_CORE);
	if (cpu < 0) {
		cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	}
	if (cpu < 0) {
		return prev_cpu;
	}
	sx_insert(p, SX_DSQ_LOCAL, group_slice(p), 0);
	return cpu;
}

void SX_OP(f41_before_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, group_slice(p), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f41_before_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_move_to_local(QUEUE)) {
		return;
	}
}

void SX_OP(f41_before_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);
	if (tc) {
		sx_mark_cpu_time(p, &tc->mark);
	}
	sx_cut_slice(p, sx_bounded_slice(group_slice(p), sx_dsq_nr_queued(QUEUE), cpus));
}

void SX_OP(f41_before_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);
	if (tc) {
		tc->used += sx_cpu_time_since(p, tc->mark);
	}
}

void SX_OP(f41_before_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(f41_before_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct cgroup_ctx *cg = bpf_cgrp_storage_get(&groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!cg) {
		return -ENOMEM;
	}
	cg->weight = 100;
	return 0;
}

void SX_OP(f41_before_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct task_ctx *tc = ctx_of(p);
	if (tc) {
		tc->group = to->kn->id;
	}
}

void SX_OP(f41_before_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct cgroup_ctx *cg = bpf_cgrp_storage_get(&groups, cgrp, 0, 0);
	if (cg) {
		cg->weight = weight;
	}
}

void SX_OP_SLEEPABLE(f41_before_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&cpus, 1);
}

void SX_OP_SLEEPABLE(f41_before_cpu_offline, s32 cpu)
{
	__sync_fetch_and_add(&cpus, -1);
}

s32 SX_OP_SLEEPABLE(f41_before_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f41_before_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f41_before,
       .init_task = (void *)f41_before_init_task,
       .select_cpu = (void *)f41_before_select_cpu,
       .enqueue = (void *)f41_before_enqueue,
       .dispatch = (void *)f41_before_dispatch,
       .running = (void *)f41_before_running,
       .stopping = (void *)f41_before_stopping,
       .update_idle = (void *)f41_before_update_idle,
       .cgroup_init = (void *)f41_before_cgroup_init,
       .cgroup_move = (void *)f41_before_cgroup_move,
       .cgroup_set_weight = (void *)f41_before_cgroup_set_weight,
       .cpu_online = (void *)f41_before_cpu_online,
       .cpu_offline = (void *)f41_before_cpu_offline,
       .init = (void *)f41_before_init,
       .exit = (void *)f41_before_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE | SCX_OPS_ENQ_EXITING,
       .timeout_ms = 5000);
