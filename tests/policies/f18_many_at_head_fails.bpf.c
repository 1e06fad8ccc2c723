// fails: survive: runnable task stall | made no progress
// bug: F18
// SPDX-License-Identifier: GPL-2.0-only
/* One queue, and every second task by its number goes to its head, whenever it comes. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum many_at_head_dsq {
	MANY_AT_HEAD_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(many_at_head)

s32 SX_OP(many_at_head_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(many_at_head_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, MANY_AT_HEAD_QUEUE, 5 * SX_MS, p->pid & 1 ? enq_flags | SX_ENQ_HEAD : enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(many_at_head_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(MANY_AT_HEAD_QUEUE);
}

s32 SX_OP_SLEEPABLE(many_at_head_init)
{
	return sx_create_dsq(MANY_AT_HEAD_QUEUE);
}

void SX_OP_SLEEPABLE(many_at_head_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(many_at_head,
       .select_cpu = (void *)many_at_head_select_cpu,
       .enqueue = (void *)many_at_head_enqueue,
       .dispatch = (void *)many_at_head_dispatch,
       .cpu_online = (void *)many_at_head_cpu_online,
       .cpu_offline = (void *)many_at_head_cpu_offline,
       .init = (void *)many_at_head_init,
       .exit = (void *)many_at_head_exit,
       .timeout_ms = 5000);
