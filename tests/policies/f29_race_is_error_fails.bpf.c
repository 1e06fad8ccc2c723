// fails: survive: was not empty
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/* Takes it for a failure that another CPU was faster, or that who waits may not run here. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f29_race_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_race)

s32 SX_OP(f29_race_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f29_race_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f29_race_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_dsq_nr_queued(QUEUE) > 0 && !sx_move_to_local(QUEUE))
		sx_error("queue %d was not empty a moment ago", QUEUE);
}

s32 SX_OP_SLEEPABLE(f29_race_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f29_race_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_race,
       .select_cpu = (void *)f29_race_select_cpu,
       .enqueue = (void *)f29_race_enqueue,
       .dispatch = (void *)f29_race_dispatch,
       .cpu_online = (void *)f29_race_cpu_online,
       .cpu_offline = (void *)f29_race_cpu_offline,
       .init = (void *)f29_race_init,
       .exit = (void *)f29_race_exit,
       .timeout_ms = 5000);
