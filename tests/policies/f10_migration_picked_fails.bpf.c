// fails: object: migration_disabled
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Sends every task to an idle CPU of its mask, also one that must stay where it is. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f10_migration_picked)

void SX_OP(f10_migration_picked_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0) {
		sx_insert(p, SX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(f10_migration_picked_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f10_migration_picked,
       .enqueue = (void *)f10_migration_picked_enqueue,
       .cpu_online = (void *)f10_migration_picked_cpu_online,
       .cpu_offline = (void *)f10_migration_picked_cpu_offline,
       .exit = (void *)f10_migration_picked_exit,
       .flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
       .timeout_ms = 5000);
