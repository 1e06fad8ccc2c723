// fails: object: twice
// bug: F07
// SPDX-License-Identifier: GPL-2.0-only
/* A switch without a break: who is inserted by one case is inserted by the next. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f07_falls_dsq {
	QUEUE = 0,
	LOW = 1,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f07_falls)

s32 SX_OP(f07_falls_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f07_falls_enqueue, struct task_struct *p, u64 enq_flags)
{
	switch (p->policy) {
	case 3:
		sx_insert(p, LOW, SCX_SLICE_DFL, enq_flags);
	default:
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	}
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f07_falls_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(QUEUE))
		sx_move_to_local(LOW);
}

s32 SX_OP_SLEEPABLE(f07_falls_init)
{
	return sx_create_dsq(QUEUE) ?: sx_create_dsq(LOW);
}

void SX_OP_SLEEPABLE(f07_falls_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f07_falls,
       .select_cpu = (void *)f07_falls_select_cpu,
       .enqueue = (void *)f07_falls_enqueue,
       .dispatch = (void *)f07_falls_dispatch,
       .cpu_online = (void *)f07_falls_cpu_online,
       .cpu_offline = (void *)f07_falls_cpu_offline,
       .init = (void *)f07_falls_init,
       .exit = (void *)f07_falls_exit,
       .timeout_ms = 5000);
