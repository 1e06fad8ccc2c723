// SPDX-License-Identifier: GPL-2.0-only
/* Asks whether the CPU of a task is one, and would lose the task if it were none: it always is. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(defensive_task_cpu)

s32 SX_OP(defensive_task_cpu_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(defensive_task_cpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_task_cpu(p) < 0)
		return;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(defensive_task_cpu_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(defensive_task_cpu_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(defensive_task_cpu_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(defensive_task_cpu,
       .select_cpu = (void *)defensive_task_cpu_select_cpu,
       .enqueue = (void *)defensive_task_cpu_enqueue,
       .dispatch = (void *)defensive_task_cpu_dispatch,
       .init = (void *)defensive_task_cpu_init,
       .cpu_online = (void *)defensive_task_cpu_cpu_online,
       .cpu_offline = (void *)defensive_task_cpu_cpu_offline,
       .exit = (void *)defensive_task_cpu_exit,
       .timeout_ms = 5000);
