// fails: survive: made no progress
// bug: F16, seen as F18
// SPDX-License-Identifier: GPL-2.0-only
/* In order of arrival, but for the heaviest tasks, which come an hour later. */
#include "sx/sx.h"

enum heaviest_dsq {
	QUEUE = 3,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(heaviest)

#define HEAVY 8000	/* of nice -20 alone: 8668 */

void SX_OP(heaviest_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = sx_now();

	if (p->scx.weight > HEAVY)
		now += 3600 * SX_SEC;
	sx_insert_vtime(p, QUEUE, 5 * SX_MS, now, enq_flags);
}

void SX_OP(heaviest_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(heaviest_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(heaviest_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(heaviest,
       .enqueue = (void *)heaviest_enqueue,
       .dispatch = (void *)heaviest_dispatch,
       .cpu_online = (void *)heaviest_cpu_online,
       .cpu_offline = (void *)heaviest_cpu_offline,
       .init = (void *)heaviest_init,
       .exit = (void *)heaviest_exit,
       .timeout_ms = 5000);
