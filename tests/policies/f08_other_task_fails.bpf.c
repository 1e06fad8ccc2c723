// fails: object: another task
// bug: F08
// SPDX-License-Identifier: GPL-2.0-only
/* Inserts the task that is running, which wakes p, and not p. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f08_other_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f08_other)

s32 SX_OP(f08_other_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f08_other_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct *waker = bpf_get_current_task_btf();

	sx_insert(enq_flags & SX_ENQ_WAKEUP ? waker : p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f08_other_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f08_other_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f08_other_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f08_other,
       .select_cpu = (void *)f08_other_select_cpu,
       .enqueue = (void *)f08_other_enqueue,
       .dispatch = (void *)f08_other_dispatch,
       .cpu_online = (void *)f08_other_cpu_online,
       .cpu_offline = (void *)f08_other_cpu_offline,
       .init = (void *)f08_other_init,
       .exit = (void *)f08_other_exit,
       .timeout_ms = 5000);
