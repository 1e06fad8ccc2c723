// fails: survive: runnable task stall | made no progress
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served, and no user's task is dispatched once it has been on for an hour. */
#include "sx/sx.h"

enum hour_on_dsq {
	HOUR_ON_QUEUE = 0,
};

static u64 began;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(hour_on)

void SX_OP(hour_on_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, sx_is_kthread(p) ? SCX_DSQ_LOCAL : HOUR_ON_QUEUE, 5 * SX_MS, enq_flags);
}

void SX_OP(hour_on_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_now() - began > 3600 * SX_SEC)
		return;
	sx_move_to_local(HOUR_ON_QUEUE);
}

s32 SX_OP_SLEEPABLE(hour_on_init)
{
	began = sx_now();
	return sx_create_dsq(HOUR_ON_QUEUE);
}

void SX_OP_SLEEPABLE(hour_on_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(hour_on,
       .enqueue = (void *)hour_on_enqueue,
       .dispatch = (void *)hour_on_dispatch,
       .cpu_online = (void *)hour_on_cpu_online,
       .cpu_offline = (void *)hour_on_cpu_offline,
       .init = (void *)hour_on_init,
       .exit = (void *)hour_on_exit);
