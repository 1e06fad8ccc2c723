// fails: object: migration_disabled
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Spreads tasks by pid over the CPUs of their mask; takes migration-disabled ones itself, and only looks at the mask. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(spread)

void SX_OP(spread_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 ids = sx_nr_cpu_ids();
	u32 cpu = (u32)p->pid % (ids ?: 1);

	if (bpf_cpumask_test_cpu___sx(cpu, p->cpus_ptr) && sx_cpu_online(cpu)) {
		sx_insert(p, SX_DSQ_LOCAL_ON | cpu, 4 * SX_MS, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, SX_DSQ_LOCAL, 4 * SX_MS, enq_flags);
}

void SX_OP_SLEEPABLE(spread_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(spread, .enqueue = (void *)spread_enqueue, .cpu_online = (void *)spread_cpu_online,
       .cpu_offline = (void *)spread_cpu_offline, .exit = (void *)spread_exit,
       .flags = SCX_OPS_ENQ_MIGRATION_DISABLED, .timeout_ms = 5000);
