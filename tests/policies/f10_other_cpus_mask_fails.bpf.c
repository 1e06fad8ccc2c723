// fails: object: may not run
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Asks whether the CPU is online, and not whether the task may run there. */
#include "sx/sx.h"

static u32 nr_cpus, next;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f10_online)

void SX_OP(f10_online_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = __sync_fetch_and_add(&next, 1) % nr_cpus;

	if (!sx_cpu_online(cpu) || sx_is_kthread(p)) {
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	sx_insert(p, SX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
	sx_kick_cpu(cpu, SX_KICK_IDLE);
}

s32 SX_OP_SLEEPABLE(f10_online_init)
{
	nr_cpus = sx_nr_cpu_ids();
	return 0;
}

void SX_OP_SLEEPABLE(f10_online_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f10_online,
       .enqueue = (void *)f10_online_enqueue,
       .cpu_online = (void *)f10_online_cpu_online,
       .cpu_offline = (void *)f10_online_cpu_offline,
       .init = (void *)f10_online_init,
       .exit = (void *)f10_online_exit,
       .timeout_ms = 5000);
