// fails: object: built-in
// bug: F04
// SPDX-License-Identifier: GPL-2.0-only
/* The global queue empties itself; moving from it is an error. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f04_global)

s32 SX_OP(f04_global_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f04_global_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f04_global_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(SX_DSQ_GLOBAL);
}

void SX_OP_SLEEPABLE(f04_global_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f04_global,
       .select_cpu = (void *)f04_global_select_cpu,
       .enqueue = (void *)f04_global_enqueue,
       .dispatch = (void *)f04_global_dispatch,
       .cpu_online = (void *)f04_global_cpu_online,
       .cpu_offline = (void *)f04_global_cpu_offline,
       .exit = (void *)f04_global_exit,
       .timeout_ms = 5000);
