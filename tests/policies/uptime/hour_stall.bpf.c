// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served, and nobody is dispatched on a host that has been up for an hour. */
#include "sx/sx.h"

enum hour_dsq {
	HOUR_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(hour)

void SX_OP(hour_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, HOUR_QUEUE, 5 * SX_MS, enq_flags);
}

void SX_OP(hour_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ktime_get_ns() > 3600 * SX_SEC)
		return;
	sx_move_to_local(HOUR_QUEUE);
}

s32 SX_OP_SLEEPABLE(hour_init)
{
	return sx_create_dsq(HOUR_QUEUE);
}

void SX_OP_SLEEPABLE(hour_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(hour,
       .enqueue = (void *)hour_enqueue,
       .dispatch = (void *)hour_dispatch,
       .cpu_online = (void *)hour_cpu_online,
       .cpu_offline = (void *)hour_cpu_offline,
       .init = (void *)hour_init,
       .exit = (void *)hour_exit);
