// SPDX-License-Identifier: GPL-2.0-only
/* Who is interrupted by a real-time task is enqueued again, also where its migration counts as disabled. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

u32 scx_bpf_reenqueue_local(void) __ksym;

enum release_dsq {
	LINE = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(release)

void SX_OP(release_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(release_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE);
}

void SX_OP(release_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SX_OP_SLEEPABLE(release_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(release_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(release,
       .enqueue = (void *)release_enqueue,
       .dispatch = (void *)release_dispatch,
       .cpu_release = (void *)release_cpu_release,
       .init = (void *)release_init,
       .cpu_online = (void *)release_cpu_online,
       .cpu_offline = (void *)release_cpu_offline,
       .exit = (void *)release_exit,
       .flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
       .timeout_ms = 5000);
