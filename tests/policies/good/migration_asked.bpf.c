// SPDX-License-Identifier: GPL-2.0-only
/* Asks whether a task must stay where it is before it is sent anywhere. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(migration_asked)

void SX_OP(migration_asked_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = sx_task_cpu(p) ? 0 : 1;

	if (sx_can_run_on(p, cpu) && sx_cpu_online(cpu)) {
		sx_insert(p, SX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(migration_asked_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(migration_asked,
       .enqueue = (void *)migration_asked_enqueue,
       .cpu_online = (void *)migration_asked_cpu_online,
       .cpu_offline = (void *)migration_asked_cpu_offline,
       .exit = (void *)migration_asked_exit,
       .flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
       .timeout_ms = 5000);
