// fails: fair: nice
// bug: F16
// SPDX-License-Identifier: GPL-2.0-only
/* Every task has its turn, and the lighter a task the longer the turn. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f16_slice_dsq {
	QUEUE = 0,
};

static __always_inline u64 turn_of(const struct task_struct *p)
{
	u64 ns = 2 * SX_MS * SX_WEIGHT_NICE_0 / (p->scx.weight ?: 1);

	return ns < SX_MS ? SX_MS : ns > 40 * SX_MS ? 40 * SX_MS : ns;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f16_slice)

s32 SX_OP(f16_slice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, turn_of(p));
}

void SX_OP(f16_slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, turn_of(p), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f16_slice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f16_slice_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f16_slice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f16_slice,
       .select_cpu = (void *)f16_slice_select_cpu,
       .enqueue = (void *)f16_slice_enqueue,
       .dispatch = (void *)f16_slice_dispatch,
       .cpu_online = (void *)f16_slice_cpu_online,
       .cpu_offline = (void *)f16_slice_cpu_offline,
       .init = (void *)f16_slice_init,
       .exit = (void *)f16_slice_exit,
       .timeout_ms = 5000);
