// fails: object: twice
// bug: F07
// SPDX-License-Identifier: GPL-2.0-only
/* A return is missing: kernel threads go to the CPU's own queue and then to the shared one too. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f07_twice_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f07_twice)

s32 SX_OP(f07_twice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f07_twice_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_kthread(p))
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f07_twice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f07_twice_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f07_twice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f07_twice,
       .select_cpu = (void *)f07_twice_select_cpu,
       .enqueue = (void *)f07_twice_enqueue,
       .dispatch = (void *)f07_twice_dispatch,
       .cpu_online = (void *)f07_twice_cpu_online,
       .cpu_offline = (void *)f07_twice_cpu_offline,
       .init = (void *)f07_twice_init,
       .exit = (void *)f07_twice_exit,
       .timeout_ms = 5000);
