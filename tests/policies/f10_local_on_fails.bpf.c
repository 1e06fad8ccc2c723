// fails: object: may not run
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Spreads tasks over the CPUs by their number, and does not ask whether they may run there. */
#include "sx/sx.h"

static u32 nr_cpus;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f10_local_on)

void SX_OP(f10_local_on_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_kthread(p)) {
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	sx_insert(p, SX_DSQ_LOCAL_ON | (p->pid % nr_cpus), SCX_SLICE_DFL, enq_flags);
	sx_kick_cpu(p->pid % nr_cpus, SX_KICK_IDLE);
}

s32 SX_OP_SLEEPABLE(f10_local_on_init)
{
	nr_cpus = sx_nr_online_cpus();
	return 0;
}

void SX_OP_SLEEPABLE(f10_local_on_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f10_local_on,
       .enqueue = (void *)f10_local_on_enqueue,
       .cpu_online = (void *)f10_local_on_cpu_online,
       .cpu_offline = (void *)f10_local_on_cpu_offline,
       .init = (void *)f10_local_on_init,
       .exit = (void *)f10_local_on_exit,
       .timeout_ms = 5000);
