// noted: object: divided by one that grows
// bug: F20
// ends: note: a task whose slice is 0 runs to the next tick: more switches, and no failure
// SPDX-License-Identifier: GPL-2.0-only
/* The longer the queue, the shorter a turn: 20 us are split among all who wait. With many waiting nothing is left. */
#include "sx/sx.h"

enum { LINE_Q = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(split)

void SX_OP(split_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 waiting = (u32)sx_dsq_nr_queued(LINE_Q);
	s32 cpu;

	sx_insert(p, LINE_Q, 6 / (waiting + 1) * SX_MS, enq_flags);
	cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		sx_kick_cpu(cpu, SX_KICK_IDLE);
}

void SX_OP(split_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE_Q);
}

s32 SX_OP_SLEEPABLE(split_init)
{
	return sx_create_dsq(LINE_Q);
}

void SX_OP_SLEEPABLE(split_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(split, .enqueue = (void *)split_enqueue, .dispatch = (void *)split_dispatch, .init = (void *)split_init,
       .cpu_online = (void *)split_cpu_online, .cpu_offline = (void *)split_cpu_offline,
       .exit = (void *)split_exit, .timeout_ms = 5000);
