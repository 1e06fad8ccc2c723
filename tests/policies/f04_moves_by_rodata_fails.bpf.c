// fails: object: built-in
// bug: F04
// SPDX-License-Identifier: GPL-2.0-only
/* The queue that dispatch takes from is a constant, and one of the kernel's own. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

const volatile u64 fallback = SCX_DSQ_GLOBAL;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f04_moves_by_rodata)

s32 SX_OP(f04_moves_by_rodata_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f04_moves_by_rodata_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f04_moves_by_rodata_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(QUEUE))
		sx_move_to_local(fallback);
}

s32 SX_OP_SLEEPABLE(f04_moves_by_rodata_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f04_moves_by_rodata_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f04_moves_by_rodata,
       .select_cpu = (void *)f04_moves_by_rodata_select_cpu,
       .enqueue = (void *)f04_moves_by_rodata_enqueue,
       .dispatch = (void *)f04_moves_by_rodata_dispatch,
       .init = (void *)f04_moves_by_rodata_init,
       .cpu_online = (void *)f04_moves_by_rodata_cpu_online,
       .cpu_offline = (void *)f04_moves_by_rodata_cpu_offline,
       .exit = (void *)f04_moves_by_rodata_exit,
       .timeout_ms = 5000);
