// SPDX-License-Identifier: GPL-2.0-only
/* Only the highest vtime ever seen is kept, by a variable that takes any value first. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

u64 newest, highest;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(vtime_highest)

s32 SX_OP(vtime_highest_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(vtime_highest_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(vtime_highest_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(vtime_highest_running, struct task_struct *p)
{
	u64 seen = p->scx.dsq_vtime;

	newest = seen;
	if (newest > highest)
		highest = newest;
}

s32 SX_OP_SLEEPABLE(vtime_highest_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(vtime_highest_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(vtime_highest,
       .select_cpu = (void *)vtime_highest_select_cpu,
       .enqueue = (void *)vtime_highest_enqueue,
       .dispatch = (void *)vtime_highest_dispatch,
       .running = (void *)vtime_highest_running,
       .init = (void *)vtime_highest_init,
       .cpu_online = (void *)vtime_highest_cpu_online,
       .cpu_offline = (void *)vtime_highest_cpu_offline,
       .exit = (void *)vtime_highest_exit,
       .timeout_ms = 5000);
