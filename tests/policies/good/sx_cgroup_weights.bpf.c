// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shares the CPUs among cgroups by their weights, each taken by itself, wherever it is in the tree; within a cgroup,
 * first come first served.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/vtime.bpf.h"

enum cgroup_fair_dsq {
	QUEUE = 0,
};

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 1000000..20000000: longest time on a CPU while others wait */
const volatile u64 lag_ns = 20 * SX_MS; /* ns, 0..200000000: most credit that a cgroup can save up */
const volatile u64 wait_ns = 500 * SX_MS; /* ns, 50000000..1000000000: longest wait that a low weight can cause */

struct cgroup_ctx {
	u64 vtime;
	u32 weight;
	s32 runnable; /* its tasks that want a CPU */
};

struct task_ctx {
	u64 mark; /* CPU time when it last started to run */
	u64 start; /* its cgroup's vtime when it was enqueued */
	u64 prepaid; /* vtime that the cgroup was charged then */
	u64 cgroup; /* its id */
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cgroup_ctx);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 clock;
static s64 load; /* sum of the weights of the cgroups that have runnable tasks */

struct cgroup *bpf_cgroup_from_id(u64 id) __ksym;
void bpf_cgroup_release(struct cgroup *cgrp) __ksym;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(cgroup_fair)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline struct cgroup_ctx *ctx_of_cgroup(struct cgroup *cgrp)
{
	return bpf_cgrp_storage_get(&cgroups, cgrp, 0, 0);
}

static __always_inline u64 share(u64 cpu_ns, const struct cgroup_ctx *cg)
{
	return sx_scale_by_weight(cpu_ns, cg->weight);
}

/* One task more or fewer wants a CPU; the first and the last change the load. */
static __noinline int count_runnable(const struct task_ctx *tc, s32 by)
{
	struct cgroup *cgrp = tc ? bpf_cgroup_from_id(tc->cgroup) : NULL;
	struct cgroup_ctx *cg;

	if (!cgrp)
		return 0;
	cg = ctx_of_cgroup(cgrp);
	if (cg) {
		s32 before = __sync_fetch_and_add(&cg->runnable, by);

		if (before == 0 && by > 0)
			__sync_fetch_and_add(&load, cg->weight);
		if (before + by == 0 && by < 0)
			__sync_fetch_and_sub(&load, cg->weight);
	}
	bpf_cgroup_release(cgrp);
	return 0;
}

/* Charge a whole slice at once, so that a cgroup's next task stands behind this one; when it is due, in ns from now. */
static __noinline s64 prepay(struct task_ctx *tc)
{
	struct cgroup *cgrp = tc ? bpf_cgroup_from_id(tc->cgroup) : NULL;
	struct cgroup_ctx *cg;
	s64 due_in = 0;

	if (!cgrp)
		return 0;
	cg = ctx_of_cgroup(cgrp);
	if (cg) {
		u64 lead = sx_vtime_lead(wait_ns, cpus, load);

		cg->vtime = sx_clamp_vtime(cg->vtime, clock, lag_ns, lead);
		due_in = sx_vtime_due_in(cg->vtime, clock, cpus, load);
		tc->start = cg->vtime;
		tc->prepaid = share(slice_ns, cg);
		__sync_fetch_and_add(&cg->vtime, tc->prepaid);
	}
	bpf_cgroup_release(cgrp);
	return due_in;
}

/* Charge what was used instead of what was prepaid; when its cgroup is due now, in ns from now. */
static __noinline s64 charge(struct task_ctx *tc, u64 used_ns)
{
	struct cgroup *cgrp = tc ? bpf_cgroup_from_id(tc->cgroup) : NULL;
	struct cgroup_ctx *cg;
	s64 due_in = 0;

	if (!cgrp)
		return 0;
	cg = ctx_of_cgroup(cgrp);
	if (cg) {
		__sync_fetch_and_add(&cg->vtime, share(used_ns, cg) - tc->prepaid);
		tc->prepaid = 0;
		due_in = sx_vtime_due_in(cg->vtime, clock, cpus, load);
	}
	bpf_cgroup_release(cgrp);
	return due_in;
}

/* prev's slice ended and the queue does not hold it: is its cgroup still due before the queue's first? */
static __always_inline bool goes_on(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);
	u64 used_ns;

	if (!tc)
		return false;
	used_ns = sx_cpu_time_since(prev, tc->mark);
	sx_mark_cpu_time(prev, &tc->mark);
	return !sx_head_overdue(QUEUE, sx_now() + charge(tc, used_ns), 0);
}

s32 SX_OP_SLEEPABLE(cgroup_fair_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	tc->cgroup = args->cgroup->kn->id;
	return 0;
}

void SX_OP(cgroup_fair_runnable, struct task_struct *p, u64 enq_flags)
{
	count_runnable(ctx_of(p), 1);
}

s32 SX_OP(cgroup_fair_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(cgroup_fair_enqueue, struct task_struct *p, u64 enq_flags)
{
	s64 due_in = prepay(ctx_of(p));

	sx_insert_due(p, QUEUE, slice_ns, due_in, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(cgroup_fair_dispatch, s32 cpu, struct task_struct *prev)
{
	bool waits = sx_wants_cpu(prev);

	if ((waits && goes_on(prev)) || (!sx_move_to_local(QUEUE) && waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(cgroup_fair_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	sx_mark_cpu_time(p, &tc->mark);
	if (tc->prepaid) /* it came through the queue, and did not go straight to an idle CPU */
		sx_advance_vtime(&clock, tc->start);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(QUEUE), cpus));
}

void SX_OP(cgroup_fair_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		charge(tc, sx_cpu_time_since(p, tc->mark));
}

void SX_OP(cgroup_fair_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && tc->prepaid) /* taken out of the queue before it ran */
		charge(tc, 0);
	count_runnable(tc, -1);
}

s32 SX_OP_SLEEPABLE(cgroup_fair_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct cgroup_ctx *cg = bpf_cgrp_storage_get(&cgroups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!cg)
		return -ENOMEM;
	cg->weight = args->weight;
	cg->vtime = clock;
	return 0;
}

void SX_OP(cgroup_fair_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		tc->cgroup = to->kn->id;
}

void SX_OP(cgroup_fair_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct cgroup_ctx *cg = ctx_of_cgroup(cgrp);

	if (!cg)
		return;
	if (cg->runnable)
		__sync_fetch_and_add(&load, (s64)weight - cg->weight);
	cg->weight = weight;
}

s32 SX_OP_SLEEPABLE(cgroup_fair_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(cgroup_fair_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(cgroup_fair,
       .init_task = (void *)cgroup_fair_init_task,
       .runnable = (void *)cgroup_fair_runnable,
       .select_cpu = (void *)cgroup_fair_select_cpu,
       .enqueue = (void *)cgroup_fair_enqueue,
       .dispatch = (void *)cgroup_fair_dispatch,
       .running = (void *)cgroup_fair_running,
       .stopping = (void *)cgroup_fair_stopping,
       .quiescent = (void *)cgroup_fair_quiescent,
       .cgroup_init = (void *)cgroup_fair_cgroup_init,
       .cgroup_move = (void *)cgroup_fair_cgroup_move,
       .cgroup_set_weight = (void *)cgroup_fair_cgroup_set_weight,
       .cpu_online = (void *)cgroup_fair_cpu_online,
       .cpu_offline = (void *)cgroup_fair_cpu_offline,
       .init = (void *)cgroup_fair_init,
       .exit = (void *)cgroup_fair_exit,
       .timeout_ms = 5000);
