// fails: survive: runnable task stall | made no progress
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two queues. The second is looked into first where a moment that is kept in 32 bits of us has come, else after the other: when the
 * time begins anew, that is 71 minutes away.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum moment_dsq {
	MOMENT_QUEUE = 0,
	MOMENT_OTHER = 1,
};

u32 next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(moment)

s32 SX_OP(moment_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(moment_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->pid & 1)
		sx_insert(p, MOMENT_OTHER, 5 * SX_MS, enq_flags);
	else
		sx_insert(p, MOMENT_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(moment_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 now = bpf_ktime_get_ns() / 1000;

	if (now >= next_look) {
		next_look = now + 1000;
		if (sx_move_to_local(MOMENT_OTHER))
			return;
	}
	if (!sx_move_to_local(MOMENT_QUEUE))
		sx_move_to_local(MOMENT_OTHER);
}

s32 SX_OP_SLEEPABLE(moment_init)
{
	s32 ret = sx_create_dsq(MOMENT_QUEUE);

	return ret ? ret : sx_create_dsq(MOMENT_OTHER);
}

void SX_OP_SLEEPABLE(moment_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(moment,
       .select_cpu = (void *)moment_select_cpu,
       .enqueue = (void *)moment_enqueue,
       .dispatch = (void *)moment_dispatch,
       .cpu_online = (void *)moment_cpu_online,
       .cpu_offline = (void *)moment_cpu_offline,
       .init = (void *)moment_init,
       .exit = (void *)moment_exit,
       .timeout_ms = 5000);
