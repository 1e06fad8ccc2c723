// fails: survive: made no progress | failed to run | failed to check in
// bug: F19, seen as F19 or F13
// either: who is never taken off its CPU keeps those out that are bound to it, and these are named first at times (F13)
// SPDX-License-Identifier: GPL-2.0-only
/* Whoever starts to run with less than half a turn left is given a whole one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f19_refill_short_dsq {
	LINE = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f19_refill_short)

void SX_OP(f19_refill_short_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, 20 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f19_refill_short_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE);
}

void SX_OP(f19_refill_short_running, struct task_struct *p)
{
	if (p->scx.slice < 10 * SX_MS)
		sx_set_slice(p, 20 * SX_MS);
}

s32 SX_OP_SLEEPABLE(f19_refill_short_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(f19_refill_short_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f19_refill_short,
       .enqueue = (void *)f19_refill_short_enqueue,
       .dispatch = (void *)f19_refill_short_dispatch,
       .running = (void *)f19_refill_short_running,
       .init = (void *)f19_refill_short_init,
       .cpu_online = (void *)f19_refill_short_cpu_online,
       .cpu_offline = (void *)f19_refill_short_cpu_offline,
       .exit = (void *)f19_refill_short_exit,
       .timeout_ms = 5000);
