// fails: survive: runnable task stall | made no progress
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* One queue, and a budget of dispatches that is never filled up again: after a million of them nobody is moved any more. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum budget_dsq {
	BUDGET_QUEUE = 0,
};

static s64 budget = 1000000;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(budget)

s32 SX_OP(budget_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(budget_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, BUDGET_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(budget_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_sub(&budget, 1) <= 0)
		return;
	sx_move_to_local(BUDGET_QUEUE);
}

s32 SX_OP_SLEEPABLE(budget_init)
{
	return sx_create_dsq(BUDGET_QUEUE);
}

void SX_OP_SLEEPABLE(budget_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(budget,
       .select_cpu = (void *)budget_select_cpu,
       .enqueue = (void *)budget_enqueue,
       .dispatch = (void *)budget_dispatch,
       .cpu_online = (void *)budget_cpu_online,
       .cpu_offline = (void *)budget_cpu_offline,
       .init = (void *)budget_init,
       .exit = (void *)budget_exit,
       .timeout_ms = 5000);
