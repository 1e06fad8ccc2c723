// fails: fair: sched_yield
// bug: F40
// SPDX-License-Identifier: GPL-2.0-only
/* Takes sched_yield for itself and does nothing: who yields keeps the CPU to the end of its slice. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f40_yield_dsq {
	QUEUE = 0,
};

static u64 yields;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f40_yield)

s32 SX_OP(f40_yield_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f40_yield_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f40_yield_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

bool SX_OP(f40_yield_yield, struct task_struct *from, struct task_struct *to)
{
	__sync_fetch_and_add(&yields, 1);
	return false;
}

s32 SX_OP_SLEEPABLE(f40_yield_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f40_yield_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f40_yield,
       .select_cpu = (void *)f40_yield_select_cpu,
       .enqueue = (void *)f40_yield_enqueue,
       .dispatch = (void *)f40_yield_dispatch,
       .yield = (void *)f40_yield_yield,
       .cpu_online = (void *)f40_yield_cpu_online,
       .cpu_offline = (void *)f40_yield_cpu_offline,
       .init = (void *)f40_yield_init,
       .exit = (void *)f40_yield_exit,
       .timeout_ms = 5000);
