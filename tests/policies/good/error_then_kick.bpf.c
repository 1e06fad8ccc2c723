// SPDX-License-Identifier: GPL-2.0-only
/* The CPU that is kicked after the policy has ended itself need not exist. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(error_then_kick)

s32 SX_OP(error_then_kick_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(error_then_kick_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(error_then_kick_dispatch, s32 cpu, struct task_struct *prev)
{
	if (cpu >= 4096) {
		sx_error("cpu %d is none", cpu);
		sx_kick_cpu(-1, SX_KICK_IDLE);
		return;
	}
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(error_then_kick_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(error_then_kick_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(error_then_kick,
       .select_cpu = (void *)error_then_kick_select_cpu,
       .enqueue = (void *)error_then_kick_enqueue,
       .dispatch = (void *)error_then_kick_dispatch,
       .init = (void *)error_then_kick_init,
       .cpu_online = (void *)error_then_kick_cpu_online,
       .cpu_offline = (void *)error_then_kick_cpu_offline,
       .exit = (void *)error_then_kick_exit,
       .timeout_ms = 5000);
