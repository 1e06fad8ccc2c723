// fails: survive: runnable task stall | made no progress
// bug: F18
// SPDX-License-Identifier: GPL-2.0-only
/*
 * One queue, who has waited longest first, by a time in us that begins anew after 71 minutes.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum narrow_dsq {
	NARROW_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(narrow)

s32 SX_OP(narrow_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(narrow_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 now = bpf_ktime_get_ns() / 1000;

	sx_insert_vtime(p, NARROW_QUEUE, 5 * SX_MS, now, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(narrow_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(NARROW_QUEUE);
}

s32 SX_OP_SLEEPABLE(narrow_init)
{
	return sx_create_dsq(NARROW_QUEUE);
}

void SX_OP_SLEEPABLE(narrow_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(narrow,
       .select_cpu = (void *)narrow_select_cpu,
       .enqueue = (void *)narrow_enqueue,
       .dispatch = (void *)narrow_dispatch,
       .cpu_online = (void *)narrow_cpu_online,
       .cpu_offline = (void *)narrow_cpu_offline,
       .init = (void *)narrow_init,
       .exit = (void *)narrow_exit,
       .timeout_ms = 5000);
