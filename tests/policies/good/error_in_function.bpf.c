// SPDX-License-Identifier: GPL-2.0-only
/* A function of its own ends the policy; what its caller returns afterwards is no CPU, and nobody asks. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

static __always_inline void give_up(s32 cpu)
{
	sx_error("cpu %d is none", cpu);
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(error_in_function)

s32 SX_OP(error_in_function_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	if (prev_cpu >= 4096) {
		give_up(prev_cpu);
		return -EINVAL;
	}
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(error_in_function_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(error_in_function_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(error_in_function_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(error_in_function_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(error_in_function,
       .select_cpu = (void *)error_in_function_select_cpu,
       .enqueue = (void *)error_in_function_enqueue,
       .dispatch = (void *)error_in_function_dispatch,
       .init = (void *)error_in_function_init,
       .cpu_online = (void *)error_in_function_cpu_online,
       .cpu_offline = (void *)error_in_function_cpu_offline,
       .exit = (void *)error_in_function_exit,
       .timeout_ms = 5000);
