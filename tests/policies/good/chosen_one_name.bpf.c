// SPDX-License-Identifier: GPL-2.0-only
/* In order of arrival, but for tasks of one name, which come a little later. */
#include "sx/sx.h"

enum chosen_one_name_dsq {
	QUEUE = 3,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(chosen_one_name)

static __always_inline bool is_batch(const struct task_struct *p)
{
	static const char batch[] = "batchd";
	int i;

	for (i = 0; i < (int)sizeof(batch); i++)
		if (p->comm[i] != batch[i])
			return false;
	return true;
}

void SX_OP(chosen_one_name_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = sx_now();

	if (is_batch(p))
		now += 20 * SX_MS;
	sx_insert_vtime(p, QUEUE, 5 * SX_MS, now, enq_flags);
}

void SX_OP(chosen_one_name_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(chosen_one_name_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(chosen_one_name_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(chosen_one_name,
       .enqueue = (void *)chosen_one_name_enqueue,
       .dispatch = (void *)chosen_one_name_dispatch,
       .cpu_online = (void *)chosen_one_name_cpu_online,
       .cpu_offline = (void *)chosen_one_name_cpu_offline,
       .init = (void *)chosen_one_name_init,
       .exit = (void *)chosen_one_name_exit,
       .timeout_ms = 5000);
