// noted: object: slice 0
// bug: F20
// ends: note: a task whose slice is 0 runs to the next tick: more switches, and no failure
// SPDX-License-Identifier: GPL-2.0-only
/* Every insert has a slice of 0: the kernel gives its own default and counts it as a mistake. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f20_no_slice_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f20_no_slice)

s32 SX_OP(f20_no_slice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 0);
}

void SX_OP(f20_no_slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, 0, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f20_no_slice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f20_no_slice_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f20_no_slice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f20_no_slice,
       .select_cpu = (void *)f20_no_slice_select_cpu,
       .enqueue = (void *)f20_no_slice_enqueue,
       .dispatch = (void *)f20_no_slice_dispatch,
       .cpu_online = (void *)f20_no_slice_cpu_online,
       .cpu_offline = (void *)f20_no_slice_cpu_offline,
       .init = (void *)f20_no_slice_init,
       .exit = (void *)f20_no_slice_exit,
       .timeout_ms = 5000);
