// SPDX-License-Identifier: GPL-2.0-only
/* A tick gives another turn to who is alone, and cuts what is left while others wait. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum refill_alone_dsq {
	LINE = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(refill_alone)

void SX_OP(refill_alone_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(refill_alone_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE);
}

void SX_OP(refill_alone_tick, struct task_struct *p)
{
	/* Shorter where others wait, and longer only while nobody does. */
	if (!sx_dsq_nr_queued(LINE))
		sx_set_slice(p, 10 * SX_MS);
	else if (p->scx.slice > 5 * SX_MS)
		sx_set_slice(p, 5 * SX_MS);
}

s32 SX_OP_SLEEPABLE(refill_alone_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(refill_alone_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(refill_alone,
       .enqueue = (void *)refill_alone_enqueue,
       .dispatch = (void *)refill_alone_dispatch,
       .tick = (void *)refill_alone_tick,
       .init = (void *)refill_alone_init,
       .cpu_online = (void *)refill_alone_cpu_online,
       .cpu_offline = (void *)refill_alone_cpu_offline,
       .exit = (void *)refill_alone_exit,
       .timeout_ms = 5000);
