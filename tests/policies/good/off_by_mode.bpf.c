// SPDX-License-Identifier: GPL-2.0-only
/* Of the modes that a constant chooses between, those that are wrong are not chosen. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

const volatile u32 mode = 3;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(off_by_mode)

s32 SX_OP(off_by_mode_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(off_by_mode_enqueue, struct task_struct *p, u64 enq_flags)
{
	switch (mode) {
	case 1:
		sx_insert(p, QUEUE, SCX_SLICE_INF, enq_flags);
		break;
	case 2:
		sx_insert_vtime(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, p->scx.dsq_vtime, enq_flags);
		break;
	default:
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	}
	sx_wake_idle_cpu_for(p);
}

void SX_OP(off_by_mode_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(off_by_mode_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(off_by_mode_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(off_by_mode,
       .select_cpu = (void *)off_by_mode_select_cpu,
       .enqueue = (void *)off_by_mode_enqueue,
       .dispatch = (void *)off_by_mode_dispatch,
       .init = (void *)off_by_mode_init,
       .cpu_online = (void *)off_by_mode_cpu_online,
       .cpu_offline = (void *)off_by_mode_cpu_offline,
       .exit = (void *)off_by_mode_exit,
       .timeout_ms = 5000);
