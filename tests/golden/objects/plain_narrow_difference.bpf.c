// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two queues. The second is looked into first where a moment that is kept in 32 bits of us has come, else after the other.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum difference_dsq {
	DIFFERENCE_QUEUE = 0,
	DIFFERENCE_OTHER = 1,
};

u32 next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(difference)

s32 SX_OP(difference_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(difference_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->pid & 1)
		sx_insert(p, DIFFERENCE_OTHER, 5 * SX_MS, enq_flags);
	else
		sx_insert(p, DIFFERENCE_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(difference_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 now = bpf_ktime_get_ns() / 1000;

	if ((s32)(now - next_look) >= 0) {
		next_look = now + 1000;
		if (sx_move_to_local(DIFFERENCE_OTHER))
			return;
	}
	if (!sx_move_to_local(DIFFERENCE_QUEUE))
		sx_move_to_local(DIFFERENCE_OTHER);
}

s32 SX_OP_SLEEPABLE(difference_init)
{
	s32 ret = sx_create_dsq(DIFFERENCE_QUEUE);

	return ret ? ret : sx_create_dsq(DIFFERENCE_OTHER);
}

void SX_OP_SLEEPABLE(difference_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(difference,
       .select_cpu = (void *)difference_select_cpu,
       .enqueue = (void *)difference_enqueue,
       .dispatch = (void *)difference_dispatch,
       .cpu_online = (void *)difference_cpu_online,
       .cpu_offline = (void *)difference_cpu_offline,
       .init = (void *)difference_init,
       .exit = (void *)difference_exit,
       .timeout_ms = 5000);
