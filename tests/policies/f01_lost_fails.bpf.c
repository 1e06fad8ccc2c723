// fails: object: neither inserted nor kept
// bug: F01
// SPDX-License-Identifier: GPL-2.0-only
/* A path of enqueue forgets its task: what is not a kernel thread and is bound to one CPU is dropped. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f01_lost_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f01_lost)

s32 SX_OP(f01_lost_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f01_lost_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_pinned(p) && !sx_is_kthread(p))
		return;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f01_lost_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f01_lost_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f01_lost_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f01_lost,
       .select_cpu = (void *)f01_lost_select_cpu,
       .enqueue = (void *)f01_lost_enqueue,
       .dispatch = (void *)f01_lost_dispatch,
       .cpu_online = (void *)f01_lost_cpu_online,
       .cpu_offline = (void *)f01_lost_cpu_offline,
       .init = (void *)f01_lost_init,
       .exit = (void *)f01_lost_exit,
       .timeout_ms = 5000);
