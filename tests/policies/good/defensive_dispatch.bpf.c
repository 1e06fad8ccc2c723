// SPDX-License-Identifier: GPL-2.0-only
/* Asks in every callback whether the CPU it is given is below 0, and does something wrong where it is. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(defensive_dispatch)

s32 SX_OP(defensive_dispatch_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	if (prev_cpu < 0)
		return prev_cpu;
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(defensive_dispatch_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(defensive_dispatch_dispatch, s32 cpu, struct task_struct *prev)
{
	if (cpu < 0) {
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(defensive_dispatch_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(defensive_dispatch_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(defensive_dispatch,
       .select_cpu = (void *)defensive_dispatch_select_cpu,
       .enqueue = (void *)defensive_dispatch_enqueue,
       .dispatch = (void *)defensive_dispatch_dispatch,
       .init = (void *)defensive_dispatch_init,
       .cpu_online = (void *)defensive_dispatch_cpu_online,
       .cpu_offline = (void *)defensive_dispatch_cpu_offline,
       .exit = (void *)defensive_dispatch_exit,
       .timeout_ms = 5000);
