// fails: survive: runnable task stall | made no progress
// bug: F03, seen as F03 or F43
// either: nobody but kernel threads is taken any more, and these run from the local queue meanwhile (F43)
// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served, and no user's task is dispatched on a host that has been up for three hours. */
#include "sx/sx.h"

enum three_hours_dsq {
	THREE_HOURS_QUEUE = 0,
};

const volatile u64 limit_ms = 3 * 3600 * 1000;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(three_hours)

void SX_OP(three_hours_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, sx_is_kthread(p) ? SCX_DSQ_LOCAL : THREE_HOURS_QUEUE, 5 * SX_MS, enq_flags);
}

void SX_OP(three_hours_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 up_ms = sx_now() / SX_MS;

	if (up_ms >= limit_ms)
		return;
	sx_move_to_local(THREE_HOURS_QUEUE);
}

s32 SX_OP_SLEEPABLE(three_hours_init)
{
	return sx_create_dsq(THREE_HOURS_QUEUE);
}

void SX_OP_SLEEPABLE(three_hours_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(three_hours,
       .enqueue = (void *)three_hours_enqueue,
       .dispatch = (void *)three_hours_dispatch,
       .cpu_online = (void *)three_hours_cpu_online,
       .cpu_offline = (void *)three_hours_cpu_offline,
       .init = (void *)three_hours_init,
       .exit = (void *)three_hours_exit);
