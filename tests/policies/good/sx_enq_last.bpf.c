// SPDX-License-Identifier: GPL-2.0-only
/* Is told of the last task of a CPU, and leaves it there. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum enq_last_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(enq_last)

s32 SX_OP(enq_last_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(enq_last_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & SX_ENQ_LAST) {
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	sx_insert(p, QUEUE, sx_bounded_slice(SCX_SLICE_DFL, sx_dsq_nr_queued(QUEUE), cpus), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(enq_last_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(enq_last_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(enq_last_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(enq_last,
       .select_cpu = (void *)enq_last_select_cpu,
       .enqueue = (void *)enq_last_enqueue,
       .dispatch = (void *)enq_last_dispatch,
       .cpu_online = (void *)enq_last_cpu_online,
       .cpu_offline = (void *)enq_last_cpu_offline,
       .init = (void *)enq_last_init,
       .exit = (void *)enq_last_exit,
       .flags = SCX_OPS_ENQ_LAST,
       .timeout_ms = 5000);
