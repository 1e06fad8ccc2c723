// fails: object: migration_disabled
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Spreads tasks over any CPU of their mask, in a function of its own. */
#include "sx/sx.h"

static __always_inline int spread(struct task_struct *p, u64 enq_flags)
{
	s32 cpu = sx_pick_any_cpu(p->cpus_ptr, 0);

	sx_insert(p, cpu < 0 ? SX_DSQ_LOCAL : SX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
	return cpu;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f10_migration_any)

void SX_OP(f10_migration_any_enqueue, struct task_struct *p, u64 enq_flags)
{
	spread(p, enq_flags);
}

void SX_OP_SLEEPABLE(f10_migration_any_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f10_migration_any,
       .enqueue = (void *)f10_migration_any_enqueue,
       .cpu_online = (void *)f10_migration_any_cpu_online,
       .cpu_offline = (void *)f10_migration_any_cpu_offline,
       .exit = (void *)f10_migration_any_exit,
       .flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
       .timeout_ms = 5000);
