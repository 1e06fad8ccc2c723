// SPDX-License-Identifier: GPL-2.0-only
/* enqueue leaves its task where it is after it has ended the policy: the kernel takes it over. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(error_then_nothing)

s32 SX_OP(error_then_nothing_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(error_then_nothing_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_dsq_nr_queued(QUEUE) < 0) {
		sx_error("queue %d is gone", QUEUE);
		return;
	}
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(error_then_nothing_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(error_then_nothing_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(error_then_nothing_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(error_then_nothing,
       .select_cpu = (void *)error_then_nothing_select_cpu,
       .enqueue = (void *)error_then_nothing_enqueue,
       .dispatch = (void *)error_then_nothing_dispatch,
       .init = (void *)error_then_nothing_init,
       .cpu_online = (void *)error_then_nothing_cpu_online,
       .cpu_offline = (void *)error_then_nothing_cpu_offline,
       .exit = (void *)error_then_nothing_exit,
       .timeout_ms = 5000);
