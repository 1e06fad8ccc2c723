// SPDX-License-Identifier: GPL-2.0-only
/* The more tasks wait the shorter a turn, but never less than a millisecond. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(divides_with_a_limit)

s32 SX_OP(divides_with_a_limit_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(divides_with_a_limit_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 ms = 20 / ((u32)sx_dsq_nr_queued(QUEUE) + 1);

	sx_insert(p, QUEUE, (ms ?: 1) * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(divides_with_a_limit_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(divides_with_a_limit_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(divides_with_a_limit_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(divides_with_a_limit,
       .select_cpu = (void *)divides_with_a_limit_select_cpu,
       .enqueue = (void *)divides_with_a_limit_enqueue,
       .dispatch = (void *)divides_with_a_limit_dispatch,
       .init = (void *)divides_with_a_limit_init,
       .cpu_online = (void *)divides_with_a_limit_cpu_online,
       .cpu_offline = (void *)divides_with_a_limit_cpu_offline,
       .exit = (void *)divides_with_a_limit_exit,
       .timeout_ms = 5000);
