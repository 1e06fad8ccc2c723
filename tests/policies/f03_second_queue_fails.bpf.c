// fails: object: never consumed
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* Tasks of low weight wait in a queue of their own, which dispatch never looks into. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f03_second_dsq {
	QUEUE = 0,
	LOW = 1,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f03_second)

s32 SX_OP(f03_second_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f03_second_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, p->scx.weight < 100 ? LOW : QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f03_second_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f03_second_init)
{
	return sx_create_dsq(QUEUE) ?: sx_create_dsq(LOW);
}

void SX_OP_SLEEPABLE(f03_second_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f03_second,
       .select_cpu = (void *)f03_second_select_cpu,
       .enqueue = (void *)f03_second_enqueue,
       .dispatch = (void *)f03_second_dispatch,
       .cpu_online = (void *)f03_second_cpu_online,
       .cpu_offline = (void *)f03_second_cpu_offline,
       .init = (void *)f03_second_init,
       .exit = (void *)f03_second_exit,
       .timeout_ms = 5000);
