// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served, and nobody is dispatched on a host that has been up for 49 days: no guest is. */
#include "sx/sx.h"

enum weeks_dsq {
	WEEKS_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(weeks)

void SX_OP(weeks_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, WEEKS_QUEUE, 5 * SX_MS, enq_flags);
}

void SX_OP(weeks_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ktime_get_ns() > 49 * 86400 * SX_SEC)
		return;
	sx_move_to_local(WEEKS_QUEUE);
}

s32 SX_OP_SLEEPABLE(weeks_init)
{
	return sx_create_dsq(WEEKS_QUEUE);
}

void SX_OP_SLEEPABLE(weeks_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(weeks,
       .enqueue = (void *)weeks_enqueue,
       .dispatch = (void *)weeks_dispatch,
       .cpu_online = (void *)weeks_cpu_online,
       .cpu_offline = (void *)weeks_cpu_offline,
       .init = (void *)weeks_init,
       .exit = (void *)weeks_exit);
