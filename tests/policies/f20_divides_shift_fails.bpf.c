// noted: object: divided by one that grows
// bug: F20
// ends: note: a task whose slice is 0 runs to the next tick: more switches, and no failure
// SPDX-License-Identifier: GPL-2.0-only
/* The slice is a number of half milliseconds, fewer the more tasks there are. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

u32 waiting;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f20_divides_shift)

s32 SX_OP(f20_divides_shift_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f20_divides_shift_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 half_ms = 40 / (waiting + 1);

	__sync_fetch_and_add(&waiting, 1);
	sx_insert(p, QUEUE, (u64)half_ms << 19, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f20_divides_shift_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(f20_divides_shift_running, struct task_struct *p)
{
	if (waiting)
		__sync_fetch_and_add(&waiting, -1);
}

s32 SX_OP_SLEEPABLE(f20_divides_shift_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f20_divides_shift_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f20_divides_shift,
       .select_cpu = (void *)f20_divides_shift_select_cpu,
       .enqueue = (void *)f20_divides_shift_enqueue,
       .dispatch = (void *)f20_divides_shift_dispatch,
       .running = (void *)f20_divides_shift_running,
       .init = (void *)f20_divides_shift_init,
       .cpu_online = (void *)f20_divides_shift_cpu_online,
       .cpu_offline = (void *)f20_divides_shift_cpu_offline,
       .exit = (void *)f20_divides_shift_exit,
       .timeout_ms = 5000);
