// fails: fair: idle
// bug: F21
// SPDX-License-Identifier: GPL-2.0-only
/* All wake on the first CPU where they may run, and nobody tells the CPU that idles beside it. */
#include "sx/sx.h"

enum f21_no_kick_dsq {
	QUEUE = 0,
};

u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f21_no_kick)

s32 SX_OP(f21_no_kick_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return bpf_cpumask_first(p->cpus_ptr);
}

void SX_OP(f21_no_kick_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, 3 * SX_MS, enq_flags);
}

void SX_OP(f21_no_kick_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f21_no_kick_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f21_no_kick_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f21_no_kick,
       .select_cpu = (void *)f21_no_kick_select_cpu,
       .enqueue = (void *)f21_no_kick_enqueue,
       .dispatch = (void *)f21_no_kick_dispatch,
       .cpu_online = (void *)f21_no_kick_cpu_online,
       .cpu_offline = (void *)f21_no_kick_cpu_offline,
       .init = (void *)f21_no_kick_init,
       .exit = (void *)f21_no_kick_exit,
       .timeout_ms = 5000);
