// suspected: source: slice
// bug: F17
// ends: witnessed: one that is interrupted again and again gets a third of what its equals get: unfair, and no failure
// SPDX-License-Identifier: GPL-2.0-only
/* Charges what is missing from the slice; whoever is preempted has none left, and pays for a whole one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/vtime.bpf.h"

enum f17_slice_dsq {
	QUEUE = 0,
};

static u64 clock;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f17_slice)

void SX_OP(f17_slice_enable, struct task_struct *p)
{
	sx_set_vtime(p, clock);
}

s32 SX_OP(f17_slice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f17_slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = sx_clamp_vtime(p->scx.dsq_vtime, clock, SCX_SLICE_DFL, 10 * SCX_SLICE_DFL);

	sx_insert_vtime(p, QUEUE, SCX_SLICE_DFL, vtime, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f17_slice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(f17_slice_running, struct task_struct *p)
{
	sx_advance_vtime(&clock, p->scx.dsq_vtime);
}

void SX_OP(f17_slice_stopping, struct task_struct *p, bool runnable)
{
	sx_set_vtime(p, p->scx.dsq_vtime + sx_scale_by_weight(SCX_SLICE_DFL - p->scx.slice, p->scx.weight));
}

s32 SX_OP_SLEEPABLE(f17_slice_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f17_slice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f17_slice,
       .enable = (void *)f17_slice_enable,
       .select_cpu = (void *)f17_slice_select_cpu,
       .enqueue = (void *)f17_slice_enqueue,
       .dispatch = (void *)f17_slice_dispatch,
       .running = (void *)f17_slice_running,
       .stopping = (void *)f17_slice_stopping,
       .cpu_online = (void *)f17_slice_cpu_online,
       .cpu_offline = (void *)f17_slice_cpu_offline,
       .init = (void *)f17_slice_init,
       .exit = (void *)f17_slice_exit,
       .timeout_ms = 5000);
