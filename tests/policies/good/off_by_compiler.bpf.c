// SPDX-License-Identifier: GPL-2.0-only
/* What is behind a constant of the source is not compiled at all. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1, CHARGES = 0 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(off_by_compiler)

s32 SX_OP(off_by_compiler_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(off_by_compiler_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(off_by_compiler_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(off_by_compiler_stopping, struct task_struct *p, bool runnable)
{
	if (CHARGES)
		sx_set_vtime(p, p->scx.dsq_vtime + (SCX_SLICE_DFL - p->scx.slice));
}

s32 SX_OP_SLEEPABLE(off_by_compiler_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(off_by_compiler_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(off_by_compiler,
       .select_cpu = (void *)off_by_compiler_select_cpu,
       .enqueue = (void *)off_by_compiler_enqueue,
       .dispatch = (void *)off_by_compiler_dispatch,
       .stopping = (void *)off_by_compiler_stopping,
       .init = (void *)off_by_compiler_init,
       .cpu_online = (void *)off_by_compiler_cpu_online,
       .cpu_offline = (void *)off_by_compiler_cpu_offline,
       .exit = (void *)off_by_compiler_exit,
       .timeout_ms = 5000);
