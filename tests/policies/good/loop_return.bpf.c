// SPDX-License-Identifier: GPL-2.0-only
/* A loop without a bound of its own, left by a return from within a switch. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(loop_return)

s32 SX_OP(loop_return_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(loop_return_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(loop_return_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 tries = 0;

	bpf_repeat(BPF_MAX_LOOPS) {
		switch (sx_dsq_nr_queued(QUEUE)) {
		case 0:
			return;
		default:
			if (sx_move_to_local(QUEUE) || ++tries > 3)
				return;
		}
	}
}

s32 SX_OP_SLEEPABLE(loop_return_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(loop_return_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(loop_return,
       .select_cpu = (void *)loop_return_select_cpu,
       .enqueue = (void *)loop_return_enqueue,
       .dispatch = (void *)loop_return_dispatch,
       .init = (void *)loop_return_init,
       .cpu_online = (void *)loop_return_cpu_online,
       .cpu_offline = (void *)loop_return_cpu_offline,
       .exit = (void *)loop_return_exit,
       .timeout_ms = 5000);
