// SPDX-License-Identifier: GPL-2.0-only
/* Asks whether a task has a weight and may run anywhere before it is queued: both always hold. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(defensive_weight)

s32 SX_OP(defensive_weight_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(defensive_weight_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (!p->scx.weight || p->scx.weight > 10000 || p->nr_cpus_allowed < 1)
		return;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(defensive_weight_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(defensive_weight_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(defensive_weight_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(defensive_weight,
       .select_cpu = (void *)defensive_weight_select_cpu,
       .enqueue = (void *)defensive_weight_enqueue,
       .dispatch = (void *)defensive_weight_dispatch,
       .init = (void *)defensive_weight_init,
       .cpu_online = (void *)defensive_weight_cpu_online,
       .cpu_offline = (void *)defensive_weight_cpu_offline,
       .exit = (void *)defensive_weight_exit,
       .timeout_ms = 5000);
