// fails: survive: reenqueue limit
// bug: F32
// SPDX-License-Identifier: GPL-2.0-only
/* Insists on running at once on a CPU that is busy, is given the task back, and insists again. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f32_loop_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f32_loop)

s32 SX_OP(f32_loop_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f32_loop_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.weight < 100) {
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags | SCX_ENQ_IMMED);
		return;
	}
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f32_loop_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f32_loop_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f32_loop_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f32_loop,
       .select_cpu = (void *)f32_loop_select_cpu,
       .enqueue = (void *)f32_loop_enqueue,
       .dispatch = (void *)f32_loop_dispatch,
       .cpu_online = (void *)f32_loop_cpu_online,
       .cpu_offline = (void *)f32_loop_cpu_offline,
       .init = (void *)f32_loop_init,
       .exit = (void *)f32_loop_exit,
       .timeout_ms = 5000);
