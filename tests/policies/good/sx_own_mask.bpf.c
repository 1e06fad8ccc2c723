// SPDX-License-Identifier: GPL-2.0-only
/* Idle CPUs in a mask of its own, a bit for each, claimed by who finds it. */
#include "sx/sx.h"

enum own_mask_dsq {
	QUEUE = 3,
};

enum {
	MAX_CPUS = 64,
};

static u64 idle_mask;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(own_mask)

/* An idle CPU where p may run, or -1. */
static __always_inline s32 find_idle(struct task_struct *p)
{
	s32 cpu, end = sx_nr_cpu_ids();

	bpf_for(cpu, 0, MAX_CPUS) {
		if (cpu >= end)
			break;
		if (idle_mask >> cpu & 1 && sx_can_run_on(p, cpu) && __sync_fetch_and_and(&idle_mask, ~(1ULL << cpu)) >> cpu & 1)
			return cpu;
	}
	return -1;
}

s32 SX_OP(own_mask_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = find_idle(p);

	if (cpu < 0)
		return prev_cpu;
	sx_insert(p, SX_DSQ_LOCAL, 5 * SX_MS, 0);
	return cpu;
}

void SX_OP(own_mask_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	sx_insert(p, QUEUE, 5 * SX_MS, enq_flags);
	cpu = find_idle(p);
	if (cpu >= 0)
		sx_kick_cpu(cpu, 0);
}

void SX_OP(own_mask_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(own_mask_update_idle, s32 cpu, bool idle)
{
	if (cpu < 0 || cpu >= MAX_CPUS)
		return;
	if (idle)
		__sync_fetch_and_or(&idle_mask, 1ULL << cpu);
	else
		__sync_fetch_and_and(&idle_mask, ~(1ULL << cpu));
}

s32 SX_OP_SLEEPABLE(own_mask_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(own_mask_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(own_mask,
       .select_cpu = (void *)own_mask_select_cpu,
       .enqueue = (void *)own_mask_enqueue,
       .dispatch = (void *)own_mask_dispatch,
       .update_idle = (void *)own_mask_update_idle,
       .cpu_online = (void *)own_mask_cpu_online,
       .cpu_offline = (void *)own_mask_cpu_offline,
       .init = (void *)own_mask_init,
       .exit = (void *)own_mask_exit,
       .timeout_ms = 5000);
