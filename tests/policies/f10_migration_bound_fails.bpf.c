// fails: object: migration_disabled
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Takes a task that may run on one CPU only there, and others to the first CPUs that their masks have. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f10_migration_bound)

void SX_OP(f10_migration_bound_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = p->pid & 1;

	if (p->nr_cpus_allowed > 1 && bpf_cpumask_test_cpu___sx(cpu, p->cpus_ptr)) {
		sx_insert(p, SX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(f10_migration_bound_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f10_migration_bound,
       .enqueue = (void *)f10_migration_bound_enqueue,
       .cpu_online = (void *)f10_migration_bound_cpu_online,
       .cpu_offline = (void *)f10_migration_bound_cpu_offline,
       .exit = (void *)f10_migration_bound_exit,
       .flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
       .timeout_ms = 5000);
