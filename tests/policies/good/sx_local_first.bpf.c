// SPDX-License-Identifier: GPL-2.0-only
/* Who can have its own CPU at once goes there; all others share an overflow queue. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/kthread.bpf.h"

enum local_first_dsq {
	OVERFLOW = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(local_first)

s32 SX_OP(local_first_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SX_OP(local_first_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = sx_task_cpu(p);

	if (sx_insert_woken_kthread(p, SCX_SLICE_DFL, enq_flags))
		return;
	if (sx_claim_idle_cpu(cpu)) {
		sx_insert(p, SX_DSQ_LOCAL, 10 * SX_MS, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, OVERFLOW, sx_bounded_slice(10 * SX_MS, sx_dsq_nr_queued(OVERFLOW), cpus), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(local_first_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(OVERFLOW) && sx_wants_cpu(prev))
		sx_set_slice(prev, 10 * SX_MS);
}

s32 SX_OP_SLEEPABLE(local_first_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(OVERFLOW);
}

void SX_OP_SLEEPABLE(local_first_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(local_first,
       .select_cpu = (void *)local_first_select_cpu,
       .enqueue = (void *)local_first_enqueue,
       .dispatch = (void *)local_first_dispatch,
       .cpu_online = (void *)local_first_cpu_online,
       .cpu_offline = (void *)local_first_cpu_offline,
       .init = (void *)local_first_init,
       .exit = (void *)local_first_exit,
       .timeout_ms = 5000);
