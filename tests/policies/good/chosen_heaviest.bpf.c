// SPDX-License-Identifier: GPL-2.0-only
/* In order of arrival, but for the heaviest tasks, which come a little later. */
#include "sx/sx.h"

enum chosen_heaviest_dsq {
	QUEUE = 3,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(chosen_heaviest)

#define HEAVY 8000	/* of nice -20 alone: 8668 */

void SX_OP(chosen_heaviest_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = sx_now();

	if (p->scx.weight > HEAVY)
		now += 20 * SX_MS;
	sx_insert_vtime(p, QUEUE, 5 * SX_MS, now, enq_flags);
}

void SX_OP(chosen_heaviest_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(chosen_heaviest_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(chosen_heaviest_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(chosen_heaviest,
       .enqueue = (void *)chosen_heaviest_enqueue,
       .dispatch = (void *)chosen_heaviest_dispatch,
       .cpu_online = (void *)chosen_heaviest_cpu_online,
       .cpu_offline = (void *)chosen_heaviest_cpu_offline,
       .init = (void *)chosen_heaviest_init,
       .exit = (void *)chosen_heaviest_exit,
       .timeout_ms = 5000);
