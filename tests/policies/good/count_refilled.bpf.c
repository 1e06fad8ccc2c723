// SPDX-License-Identifier: GPL-2.0-only
/* One queue, and a budget of dispatches that is filled up whenever it is spent. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum refilled_dsq {
	REFILLED_QUEUE = 0,
};

static s64 budget = 1000;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(refilled)

s32 SX_OP(refilled_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(refilled_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, REFILLED_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(refilled_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_sub(&budget, 1) <= 0)
		budget = 1000;
	sx_move_to_local(REFILLED_QUEUE);
}

s32 SX_OP_SLEEPABLE(refilled_init)
{
	return sx_create_dsq(REFILLED_QUEUE);
}

void SX_OP_SLEEPABLE(refilled_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(refilled,
       .select_cpu = (void *)refilled_select_cpu,
       .enqueue = (void *)refilled_enqueue,
       .dispatch = (void *)refilled_dispatch,
       .cpu_online = (void *)refilled_cpu_online,
       .cpu_offline = (void *)refilled_cpu_offline,
       .init = (void *)refilled_init,
       .exit = (void *)refilled_exit,
       .timeout_ms = 5000);
