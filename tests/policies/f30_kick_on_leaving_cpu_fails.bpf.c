// fails: survive: could not be taken off | the kernel warned while it was taken off
// bug: F30, seen as F36
// SPDX-License-Identifier: GPL-2.0-only
/* Kicks from every enqueue by the raw kfunc: one by a CPU that goes offline is pending for ever, and its removal spins. */
#include "sx/sx.h"

enum f30_kick_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f30_kick)

s32 SX_OP(f30_kick_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SX_OP(f30_kick_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle_cpu;

	sx_insert(p, QUEUE, 5 * SX_MS, enq_flags);
	idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle_cpu >= 0)
		scx_bpf_kick_cpu___sx(idle_cpu, SX_KICK_IDLE);
}

void SX_OP(f30_kick_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f30_kick_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f30_kick_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f30_kick,
       .select_cpu = (void *)f30_kick_select_cpu,
       .enqueue = (void *)f30_kick_enqueue,
       .dispatch = (void *)f30_kick_dispatch,
       .cpu_online = (void *)f30_kick_cpu_online,
       .cpu_offline = (void *)f30_kick_cpu_offline,
       .init = (void *)f30_kick_init,
       .exit = (void *)f30_kick_exit,
       .timeout_ms = 5000);
