// suspected: source: after
// bug: F38
// ends: not seen: nothing hangs on the old value that is read
// SPDX-License-Identifier: GPL-2.0-only
/* Adds up what it has given out, from where the kernel has not yet put it. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f38_slice_dsq {
	QUEUE = 0,
};

static u64 given;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f38_slice)

s32 SX_OP(f38_slice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f38_slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	__sync_fetch_and_add(&given, p->scx.slice);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f38_slice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f38_slice_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f38_slice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f38_slice,
       .select_cpu = (void *)f38_slice_select_cpu,
       .enqueue = (void *)f38_slice_enqueue,
       .dispatch = (void *)f38_slice_dispatch,
       .cpu_online = (void *)f38_slice_cpu_online,
       .cpu_offline = (void *)f38_slice_cpu_offline,
       .init = (void *)f38_slice_init,
       .exit = (void *)f38_slice_exit,
       .timeout_ms = 5000);
