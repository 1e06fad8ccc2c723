// fails: fair: idle
// bug: F21
// SPDX-License-Identifier: GPL-2.0-only
/* Every enqueue kicks, but the task's own CPU, which is busy, and not one that is idle. */
#include "sx/sx.h"

enum f21_busy_dsq {
	QUEUE = 0,
};

u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f21_busy)

s32 SX_OP(f21_busy_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return bpf_cpumask_first(p->cpus_ptr);
}

void SX_OP(f21_busy_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, 3 * SX_MS, enq_flags);
	sx_kick_cpu(sx_task_cpu(p), SX_KICK_IDLE);
}

void SX_OP(f21_busy_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f21_busy_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f21_busy_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f21_busy,
       .select_cpu = (void *)f21_busy_select_cpu,
       .enqueue = (void *)f21_busy_enqueue,
       .dispatch = (void *)f21_busy_dispatch,
       .cpu_online = (void *)f21_busy_cpu_online,
       .cpu_offline = (void *)f21_busy_cpu_offline,
       .init = (void *)f21_busy_init,
       .exit = (void *)f21_busy_exit,
       .timeout_ms = 5000);
