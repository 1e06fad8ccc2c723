// fails: survive: runnable task stall | made no progress
// bug: F18
// SPDX-License-Identifier: GPL-2.0-only
/* One queue, and every task goes to its head: who comes last goes first, and whoever has waited waits on. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum all_at_head_dsq {
	ALL_AT_HEAD_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(all_at_head)

s32 SX_OP(all_at_head_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(all_at_head_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, ALL_AT_HEAD_QUEUE, 5 * SX_MS, enq_flags | SX_ENQ_HEAD);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(all_at_head_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(ALL_AT_HEAD_QUEUE);
}

s32 SX_OP_SLEEPABLE(all_at_head_init)
{
	return sx_create_dsq(ALL_AT_HEAD_QUEUE);
}

void SX_OP_SLEEPABLE(all_at_head_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(all_at_head,
       .select_cpu = (void *)all_at_head_select_cpu,
       .enqueue = (void *)all_at_head_enqueue,
       .dispatch = (void *)all_at_head_dispatch,
       .cpu_online = (void *)all_at_head_cpu_online,
       .cpu_offline = (void *)all_at_head_cpu_offline,
       .init = (void *)all_at_head_init,
       .exit = (void *)all_at_head_exit,
       .timeout_ms = 5000);
