// SPDX-License-Identifier: GPL-2.0-only
/* A task that was interrupted in its slice queues for what is left of it; all others get a new one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum rest_of_slice_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(rest_of_slice)

s32 SX_OP(rest_of_slice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(rest_of_slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool rest = !(enq_flags & SX_ENQ_WAKEUP) && p->scx.slice > SX_MS && p->scx.slice < 6 * SX_MS;

	if (rest)
		sx_insert(p, QUEUE, 0, enq_flags);
	else
		sx_insert(p, QUEUE, sx_bounded_slice(6 * SX_MS, sx_dsq_nr_queued(QUEUE), cpus), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(rest_of_slice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(rest_of_slice_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(rest_of_slice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(rest_of_slice,
       .select_cpu = (void *)rest_of_slice_select_cpu,
       .enqueue = (void *)rest_of_slice_enqueue,
       .dispatch = (void *)rest_of_slice_dispatch,
       .cpu_online = (void *)rest_of_slice_cpu_online,
       .cpu_offline = (void *)rest_of_slice_cpu_offline,
       .init = (void *)rest_of_slice_init,
       .exit = (void *)rest_of_slice_exit,
       .timeout_ms = 5000);
