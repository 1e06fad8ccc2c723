// fails: survive: tick gives a task a slice of 20 ms
// bug: F19
// SPDX-License-Identifier: GPL-2.0-only
/* A tick that finds less than half a turn left gives a whole one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f19_refill_half_dsq {
	LINE = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f19_refill_half)

void SX_OP(f19_refill_half_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, 20 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f19_refill_half_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE);
}

void SX_OP(f19_refill_half_tick, struct task_struct *p)
{
	if (p->scx.slice < 10 * SX_MS)
		sx_set_slice(p, 20 * SX_MS);
}

s32 SX_OP_SLEEPABLE(f19_refill_half_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(f19_refill_half_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f19_refill_half,
       .enqueue = (void *)f19_refill_half_enqueue,
       .dispatch = (void *)f19_refill_half_dispatch,
       .tick = (void *)f19_refill_half_tick,
       .init = (void *)f19_refill_half_init,
       .cpu_online = (void *)f19_refill_half_cpu_online,
       .cpu_offline = (void *)f19_refill_half_cpu_offline,
       .exit = (void *)f19_refill_half_exit,
       .timeout_ms = 5000);
