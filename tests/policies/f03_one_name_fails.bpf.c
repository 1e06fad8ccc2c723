// fails: survive: runnable task stall | made no progress
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* In order of arrival, but for tasks of one name: they are taken three at a time, and so it may wait for ever. */
#include "sx/sx.h"

enum one_name_dsq {
	QUEUE = 3,
	ASIDE = 4,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(one_name)

static __always_inline bool is_batch(const struct task_struct *p)
{
	static const char batch[] = "batchd";
	int i;

	for (i = 0; i < (int)sizeof(batch); i++)
		if (p->comm[i] != batch[i])
			return false;
	return true;
}

void SX_OP(one_name_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, is_batch(p) ? ASIDE : QUEUE, 5 * SX_MS, enq_flags);
}

void SX_OP(one_name_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_dsq_nr_queued(ASIDE) > 2)
		sx_move_to_local(ASIDE);
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(one_name_init)
{
	s32 err = sx_create_dsq(QUEUE);

	return err ? err : sx_create_dsq(ASIDE);
}

void SX_OP_SLEEPABLE(one_name_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(one_name,
       .enqueue = (void *)one_name_enqueue,
       .dispatch = (void *)one_name_dispatch,
       .cpu_online = (void *)one_name_cpu_online,
       .cpu_offline = (void *)one_name_cpu_offline,
       .init = (void *)one_name_init,
       .exit = (void *)one_name_exit,
       .timeout_ms = 5000);
