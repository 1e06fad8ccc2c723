// fails: object: neither inserted nor kept
// bug: F01
// SPDX-License-Identifier: GPL-2.0-only
/* A switch over the scheduling policies that has no default. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f01_switch_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f01_switch)

static __noinline int place(struct task_struct *p, u64 enq_flags)
{
	switch (p->policy) {
	case 0:
	case 3:
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
		break;
	case 5:
		sx_insert(p, QUEUE, SX_MS, enq_flags);
		break;
	}
	return 0;
}

s32 SX_OP(f01_switch_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f01_switch_enqueue, struct task_struct *p, u64 enq_flags)
{
	place(p, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f01_switch_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f01_switch_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f01_switch_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f01_switch,
       .select_cpu = (void *)f01_switch_select_cpu,
       .enqueue = (void *)f01_switch_enqueue,
       .dispatch = (void *)f01_switch_dispatch,
       .cpu_online = (void *)f01_switch_cpu_online,
       .cpu_offline = (void *)f01_switch_cpu_offline,
       .init = (void *)f01_switch_init,
       .exit = (void *)f01_switch_exit,
       .timeout_ms = 5000);
