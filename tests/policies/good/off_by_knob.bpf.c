// SPDX-License-Identifier: GPL-2.0-only
/* A knob that is off would send tasks to CPUs by number, and read back what an insert was given. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

const volatile bool by_number;
u64 given;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(off_by_knob)

s32 SX_OP(off_by_knob_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(off_by_knob_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (by_number) {
		sx_insert(p, SX_DSQ_LOCAL_ON | ((u32)p->pid % 2), SCX_SLICE_DFL, enq_flags);
		given += p->scx.slice;
		return;
	}
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(off_by_knob_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(off_by_knob_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(off_by_knob_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(off_by_knob,
       .select_cpu = (void *)off_by_knob_select_cpu,
       .enqueue = (void *)off_by_knob_enqueue,
       .dispatch = (void *)off_by_knob_dispatch,
       .init = (void *)off_by_knob_init,
       .cpu_online = (void *)off_by_knob_cpu_online,
       .cpu_offline = (void *)off_by_knob_cpu_offline,
       .exit = (void *)off_by_knob_exit,
       .timeout_ms = 5000);
