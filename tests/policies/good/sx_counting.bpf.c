// SPDX-License-Identifier: GPL-2.0-only
/* Follows tasks through every callback there is, and counts; what it counts decides nothing. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum counting_dsq {
	QUEUE = 0,
};

enum event {
	RUNNABLE,
	DEQUEUED,
	REWEIGHTED,
	REMASKED,
	YIELDED,
	EVENTS,
};

static u64 counts[EVENTS];

static __always_inline void count(enum event event)
{
	__sync_fetch_and_add(&counts[event], 1);
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(counting)

void SX_OP(counting_runnable, struct task_struct *p, u64 enq_flags)
{
	count(RUNNABLE);
}

s32 SX_OP(counting_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 3 * SX_MS);
}

void SX_OP(counting_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, 3 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(counting_dequeue, struct task_struct *p, u64 deq_flags)
{
	count(DEQUEUED);
}

void SX_OP(counting_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(counting_quiescent, struct task_struct *p, u64 deq_flags)
{
	__sync_fetch_and_sub(&counts[RUNNABLE], 1);
}

bool SX_OP(counting_yield, struct task_struct *from, struct task_struct *to)
{
	count(YIELDED);
	if (!to)
		sx_set_slice(from, 0);
	return false;
}

void SX_OP(counting_set_weight, struct task_struct *p, u32 weight)
{
	count(REWEIGHTED);
}

void SX_OP(counting_set_cpumask, struct task_struct *p, const struct cpumask *cpumask)
{
	count(REMASKED);
}

void SX_OP(counting_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(counting_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(counting_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(counting,
       .runnable = (void *)counting_runnable,
       .select_cpu = (void *)counting_select_cpu,
       .enqueue = (void *)counting_enqueue,
       .dequeue = (void *)counting_dequeue,
       .dispatch = (void *)counting_dispatch,
       .quiescent = (void *)counting_quiescent,
       .yield = (void *)counting_yield,
       .set_weight = (void *)counting_set_weight,
       .set_cpumask = (void *)counting_set_cpumask,
       .update_idle = (void *)counting_update_idle,
       .cpu_online = (void *)counting_cpu_online,
       .cpu_offline = (void *)counting_cpu_offline,
       .init = (void *)counting_init,
       .exit = (void *)counting_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
