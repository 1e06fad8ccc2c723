// fails: object: both
// bug: F06
// SPDX-License-Identifier: GPL-2.0-only
/* Tasks of nice 0 queue in order of arrival, others by due time, and both in one queue. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f06_mixed_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f06_mixed)

s32 SX_OP(f06_mixed_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f06_mixed_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.weight == 100)
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	else
		sx_insert_vtime(p, QUEUE, SCX_SLICE_DFL, sx_now(), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f06_mixed_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f06_mixed_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f06_mixed_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f06_mixed,
       .select_cpu = (void *)f06_mixed_select_cpu,
       .enqueue = (void *)f06_mixed_enqueue,
       .dispatch = (void *)f06_mixed_dispatch,
       .cpu_online = (void *)f06_mixed_cpu_online,
       .cpu_offline = (void *)f06_mixed_cpu_offline,
       .init = (void *)f06_mixed_init,
       .exit = (void *)f06_mixed_exit,
       .timeout_ms = 5000);
