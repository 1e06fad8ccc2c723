// fails: survive: made no progress | failed to run | failed to check in
// bug: F19
// SPDX-License-Identifier: GPL-2.0-only
/* Whoever is stopped and can still run gets its turn back. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f19_refill_stop_dsq {
	LINE = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f19_refill_stop)

void SX_OP(f19_refill_stop_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, 20 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f19_refill_stop_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE);
}

void SX_OP(f19_refill_stop_stopping, struct task_struct *p, bool runnable)
{
	if (runnable)
		sx_set_slice(p, 20 * SX_MS);
}

s32 SX_OP_SLEEPABLE(f19_refill_stop_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(f19_refill_stop_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f19_refill_stop,
       .enqueue = (void *)f19_refill_stop_enqueue,
       .dispatch = (void *)f19_refill_stop_dispatch,
       .stopping = (void *)f19_refill_stop_stopping,
       .init = (void *)f19_refill_stop_init,
       .cpu_online = (void *)f19_refill_stop_cpu_online,
       .cpu_offline = (void *)f19_refill_stop_cpu_offline,
       .exit = (void *)f19_refill_stop_exit,
       .timeout_ms = 5000);
