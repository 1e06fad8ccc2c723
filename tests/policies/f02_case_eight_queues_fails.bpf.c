// fails: kernel: non-existent DSQ 0x | invalid DSQ ID 0x000000000000000
// bug: F02
// SPDX-License-Identifier: GPL-2.0-only
/* A queue for each of the first eight CPUs. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#define MOST 8

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f02_eight_queues)

void SX_OP(f02_eight_queues_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, sx_task_cpu(p), SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f02_eight_queues_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	if (sx_move_to_local(cpu))
		return;
	bpf_for(i, 0, MOST) {
		if (sx_move_to_local(i))
			return;
	}
}

s32 SX_OP_SLEEPABLE(f02_eight_queues_init)
{
	u32 i;
	s32 err;

	bpf_for(i, 0, MOST) {
		err = sx_create_dsq(i);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(f02_eight_queues_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f02_eight_queues,
       .enqueue = (void *)f02_eight_queues_enqueue,
       .dispatch = (void *)f02_eight_queues_dispatch,
       .init = (void *)f02_eight_queues_init,
       .cpu_online = (void *)f02_eight_queues_cpu_online,
       .cpu_offline = (void *)f02_eight_queues_cpu_offline,
       .exit = (void *)f02_eight_queues_exit,
       .timeout_ms = 5000);
