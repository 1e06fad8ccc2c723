// noted: object: divided by one that grows
// bug: F20
// ends: note: a task whose slice is 0 runs to the next tick: more switches, and no failure
// SPDX-License-Identifier: GPL-2.0-only
/* How long a turn is, a function says: so many milliseconds for all together. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

static u64 turn_ns(void)
{
	u64 waiting = (u32)sx_dsq_nr_queued(QUEUE);

	return 8 / (waiting ?: 1) * SX_MS;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f20_divides_function)

s32 SX_OP(f20_divides_function_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f20_divides_function_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, turn_ns(), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f20_divides_function_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f20_divides_function_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f20_divides_function_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f20_divides_function,
       .select_cpu = (void *)f20_divides_function_select_cpu,
       .enqueue = (void *)f20_divides_function_enqueue,
       .dispatch = (void *)f20_divides_function_dispatch,
       .init = (void *)f20_divides_function_init,
       .cpu_online = (void *)f20_divides_function_cpu_online,
       .cpu_offline = (void *)f20_divides_function_cpu_offline,
       .exit = (void *)f20_divides_function_exit,
       .timeout_ms = 5000);
