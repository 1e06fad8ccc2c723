// fails: survive: non-existent DSQ
// bug: F02
// SPDX-License-Identifier: GPL-2.0-only
/* The queue for low weights is computed from a number that is only known at run time: one more than there are. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f02_computed_dsq {
	QUEUE = 0,
};

static volatile u32 queues = 1;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f02_computed)

s32 SX_OP(f02_computed_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f02_computed_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = p->scx.weight < 100 ? QUEUE + queues : QUEUE; /* should be queues - 1 */

	sx_insert(p, queue, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f02_computed_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(QUEUE + queues - 1))
		sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f02_computed_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f02_computed_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f02_computed,
       .select_cpu = (void *)f02_computed_select_cpu,
       .enqueue = (void *)f02_computed_enqueue,
       .dispatch = (void *)f02_computed_dispatch,
       .cpu_online = (void *)f02_computed_cpu_online,
       .cpu_offline = (void *)f02_computed_cpu_offline,
       .init = (void *)f02_computed_init,
       .exit = (void *)f02_computed_exit,
       .timeout_ms = 5000);
