// fails: object: never created
// bug: F02
// SPDX-License-Identifier: GPL-2.0-only
/* Queues in 7, creates 1. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f02_no_queue_dsq {
	QUEUE = 1,
	OTHER = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f02_no_queue)

s32 SX_OP(f02_no_queue_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f02_no_queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, OTHER, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f02_no_queue_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(OTHER))
		sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f02_no_queue_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f02_no_queue_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f02_no_queue,
       .select_cpu = (void *)f02_no_queue_select_cpu,
       .enqueue = (void *)f02_no_queue_enqueue,
       .dispatch = (void *)f02_no_queue_dispatch,
       .cpu_online = (void *)f02_no_queue_cpu_online,
       .cpu_offline = (void *)f02_no_queue_cpu_offline,
       .init = (void *)f02_no_queue_init,
       .exit = (void *)f02_no_queue_exit,
       .timeout_ms = 5000);
