// fails: fair: idle
// bug: F21
// SPDX-License-Identifier: GPL-2.0-only
/* The mask is the wrong way round, and is only looked at: nobody claims a CPU, and none can be lost. */
#include "sx/sx.h"

enum f21_mask_read_dsq {
	QUEUE = 3,
};

enum {
	MAX_CPUS = 64,
};

static u64 idle_mask;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f21_mask_read)

/* An idle CPU where p may run, or -1. */
static __always_inline s32 find_idle(struct task_struct *p)
{
	s32 cpu, end = sx_nr_cpu_ids();

	bpf_for(cpu, 0, MAX_CPUS) {
		if (cpu >= end)
			break;
		if (idle_mask >> cpu & 1 && sx_can_run_on(p, cpu))
			return cpu;
	}
	return -1;
}

s32 SX_OP(f21_mask_read_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SX_OP(f21_mask_read_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	sx_insert(p, QUEUE, 5 * SX_MS, enq_flags);
	cpu = find_idle(p);
	if (cpu >= 0)
		sx_kick_cpu(cpu, 0);
}

void SX_OP(f21_mask_read_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(f21_mask_read_update_idle, s32 cpu, bool idle)
{
	if (cpu < 0 || cpu >= MAX_CPUS)
		return;
	if (!idle)
		__sync_fetch_and_or(&idle_mask, 1ULL << cpu);
	else
		__sync_fetch_and_and(&idle_mask, ~(1ULL << cpu));
}

s32 SX_OP_SLEEPABLE(f21_mask_read_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f21_mask_read_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f21_mask_read,
       .select_cpu = (void *)f21_mask_read_select_cpu,
       .enqueue = (void *)f21_mask_read_enqueue,
       .dispatch = (void *)f21_mask_read_dispatch,
       .update_idle = (void *)f21_mask_read_update_idle,
       .cpu_online = (void *)f21_mask_read_cpu_online,
       .cpu_offline = (void *)f21_mask_read_cpu_offline,
       .init = (void *)f21_mask_read_init,
       .exit = (void *)f21_mask_read_exit,
       .timeout_ms = 5000);
