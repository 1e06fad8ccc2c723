// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many ways through enqueue, each of which ends in one insert: a switch, a goto, and subprograms that say whether
 * they have dealt with the task.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum many_paths_dsq {
	SHORT = 1,
	NORMAL = 2,
	IDLE_ONLY = 3,
};

u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask) __ksym;

static u64 turns;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(many_paths)

/* Kernel threads that wake on their only CPU. */
static __noinline bool placed_kthread(struct task_struct *p, u64 enq_flags)
{
	if (!sx_is_kthread(p) || !sx_is_pinned(p))
		return false;
	if (!(enq_flags & SX_ENQ_WAKEUP))
		return false;
	sx_insert(p, SX_DSQ_LOCAL, SX_MS, enq_flags | SX_ENQ_HEAD);
	return true;
}

static __noinline bool placed_by_policy(struct task_struct *p, u64 enq_flags)
{
	switch (p->policy) {
	case 3: /* SCHED_BATCH */
		sx_insert(p, NORMAL, sx_bounded_slice(8 * SX_MS, sx_dsq_nr_queued(NORMAL), 1), enq_flags);
		break;
	case 5: /* SCHED_IDLE */
		sx_insert(p, IDLE_ONLY, SX_MS, enq_flags);
		break;
	default:
		return false;
	}
	return true;
}

s32 SX_OP(many_paths_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = sx_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (!idle)
		return p->nr_cpus_allowed > 1 ? bpf_cpumask_any_distribute(p->cpus_ptr) : prev_cpu;
	if (p->scx.weight >= SX_WEIGHT_NICE_0)
		sx_insert(p, SX_DSQ_LOCAL, 5 * SX_MS, 0);
	else
		sx_insert(p, SX_DSQ_LOCAL, 2 * SX_MS, 0);
	return cpu;
}

void SX_OP(many_paths_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (placed_kthread(p, enq_flags))
		return;
	if (placed_by_policy(p, enq_flags))
		goto wake;
	if (p->scx.weight > SX_WEIGHT_NICE_0) {
		sx_insert(p, SHORT, 2 * SX_MS, enq_flags);
		goto wake;
	}
	sx_insert(p, NORMAL, sx_bounded_slice(4 * SX_MS, sx_dsq_nr_queued(NORMAL), cpus), enq_flags);

	wake:
		sx_wake_idle_cpu_for(p);
}

void SX_OP(many_paths_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 turn = __sync_fetch_and_add(&turns, 1) % 6;

	/* Each goes first now and then. */
	if (turn == 0 && sx_move_to_local(IDLE_ONLY))
		return;
	if (turn < 3 && sx_move_to_local(NORMAL))
		return;
	if (!sx_move_to_local(SHORT) && !sx_move_to_local(NORMAL))
		sx_move_to_local(IDLE_ONLY);
}

s32 SX_OP_SLEEPABLE(many_paths_init)
{
	s32 err;

	cpus = sx_nr_online_cpus();
	err = sx_create_dsq(SHORT);
	if (err)
		return err;
	err = sx_create_dsq(NORMAL);
	if (err)
		return err;
	return sx_create_dsq(IDLE_ONLY);
}

void SX_OP_SLEEPABLE(many_paths_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(many_paths,
       .select_cpu = (void *)many_paths_select_cpu,
       .enqueue = (void *)many_paths_enqueue,
       .dispatch = (void *)many_paths_dispatch,
       .cpu_online = (void *)many_paths_cpu_online,
       .cpu_offline = (void *)many_paths_cpu_offline,
       .init = (void *)many_paths_init,
       .exit = (void *)many_paths_exit,
       .timeout_ms = 5000);
