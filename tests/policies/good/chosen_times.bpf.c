// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served, and one task at a time is dispatched where it is young, and two from then on. */
#include "sx/sx.h"

enum chosen_times_dsq {
	CHOSEN_TIMES_QUEUE = 0,
};

const volatile u64 limit_ms = 3 * 3600 * 1000;
static u64 began;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(chosen_times)

void SX_OP(chosen_times_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, CHOSEN_TIMES_QUEUE, 5 * SX_MS, enq_flags);
}

void SX_OP(chosen_times_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 up_ms = sx_now() / SX_MS;

	if (up_ms >= limit_ms || sx_now() - began > 1200 * SX_SEC)
		sx_move_to_local(CHOSEN_TIMES_QUEUE);
	sx_move_to_local(CHOSEN_TIMES_QUEUE);
}

s32 SX_OP_SLEEPABLE(chosen_times_init)
{
	began = sx_now();
	return sx_create_dsq(CHOSEN_TIMES_QUEUE);
}

void SX_OP_SLEEPABLE(chosen_times_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(chosen_times,
       .enqueue = (void *)chosen_times_enqueue,
       .dispatch = (void *)chosen_times_dispatch,
       .cpu_online = (void *)chosen_times_cpu_online,
       .cpu_offline = (void *)chosen_times_cpu_offline,
       .init = (void *)chosen_times_init,
       .exit = (void *)chosen_times_exit);
