// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served; who was preempted goes to its head, with what is left of its slice. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum head_preempted_dsq {
	HEAD_PREEMPTED_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(head_preempted)

s32 SX_OP(head_preempted_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(head_preempted_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.slice && !(enq_flags & SX_ENQ_WAKEUP)) {
		sx_insert(p, HEAD_PREEMPTED_QUEUE, p->scx.slice, enq_flags | SX_ENQ_HEAD);
		return;
	}
	sx_insert(p, HEAD_PREEMPTED_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(head_preempted_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(HEAD_PREEMPTED_QUEUE);
}

s32 SX_OP_SLEEPABLE(head_preempted_init)
{
	return sx_create_dsq(HEAD_PREEMPTED_QUEUE);
}

void SX_OP_SLEEPABLE(head_preempted_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(head_preempted,
       .select_cpu = (void *)head_preempted_select_cpu,
       .enqueue = (void *)head_preempted_enqueue,
       .dispatch = (void *)head_preempted_dispatch,
       .cpu_online = (void *)head_preempted_cpu_online,
       .cpu_offline = (void *)head_preempted_cpu_offline,
       .init = (void *)head_preempted_init,
       .exit = (void *)head_preempted_exit,
       .timeout_ms = 5000);
