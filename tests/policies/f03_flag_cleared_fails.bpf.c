// fails: survive: runnable task stall | made no progress
// bug: F03, seen as F03 or F13
// either: who is left out is bound to a CPU that does not look there, and what keeps it from looking is the flag
// SPDX-License-Identifier: GPL-2.0-only
/*
 * One queue, and a flag that says whether it holds anybody: a CPU that finds nobody there for itself clears it, though one may be
 * there that is bound to another CPU.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum flagged_dsq {
	FLAGGED_QUEUE = 0,
};

u32 anybody;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(flagged)

s32 SX_OP(flagged_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(flagged_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, FLAGGED_QUEUE, 20 * SX_MS, enq_flags);
	anybody = 1;
	sx_wake_idle_cpu_for(p);
}

void SX_OP(flagged_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!anybody)
		return;
	if (!sx_move_to_local(FLAGGED_QUEUE))
		anybody = 0;
}

s32 SX_OP_SLEEPABLE(flagged_init)
{
	return sx_create_dsq(FLAGGED_QUEUE);
}

void SX_OP_SLEEPABLE(flagged_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(flagged,
       .select_cpu = (void *)flagged_select_cpu,
       .enqueue = (void *)flagged_enqueue,
       .dispatch = (void *)flagged_dispatch,
       .cpu_online = (void *)flagged_cpu_online,
       .cpu_offline = (void *)flagged_cpu_offline,
       .init = (void *)flagged_init,
       .exit = (void *)flagged_exit,
       .timeout_ms = 5000);
