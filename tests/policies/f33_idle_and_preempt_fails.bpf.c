// fails: object: SCX_KICK_IDLE
// bug: F33
// SPDX-License-Identifier: GPL-2.0-only
/* Kicks a CPU only if it is idle, and preempts it at once: the kernel takes that for a mistake. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f33_both_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f33_both)

s32 SX_OP(f33_both_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f33_both_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		sx_kick_cpu(cpu, SX_KICK_IDLE | SX_KICK_PREEMPT);
}

void SX_OP(f33_both_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f33_both_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f33_both_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f33_both,
       .select_cpu = (void *)f33_both_select_cpu,
       .enqueue = (void *)f33_both_enqueue,
       .dispatch = (void *)f33_both_dispatch,
       .cpu_online = (void *)f33_both_cpu_online,
       .cpu_offline = (void *)f33_both_cpu_offline,
       .init = (void *)f33_both_init,
       .exit = (void *)f33_both_exit,
       .timeout_ms = 5000);
