// fails: object: negative
// bug: F11
// SPDX-License-Identifier: GPL-2.0-only
/* Where no CPU is idle, the answer is a negative number and not a CPU. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f11_select_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f11_select)

s32 SX_OP(f11_select_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SX_OP(f11_select_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f11_select_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f11_select_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f11_select_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f11_select,
       .select_cpu = (void *)f11_select_select_cpu,
       .enqueue = (void *)f11_select_enqueue,
       .dispatch = (void *)f11_select_dispatch,
       .cpu_online = (void *)f11_select_cpu_online,
       .cpu_offline = (void *)f11_select_cpu_offline,
       .init = (void *)f11_select_init,
       .exit = (void *)f11_select_exit,
       .timeout_ms = 5000);
