// fails: survive: rcu | soft lockup | watchdog failed to check in
// bug: F36
// SPDX-License-Identifier: GPL-2.0-only
/* A loop that ends when the queue is empty or gave a task: one that is bound elsewhere keeps it going. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f36_loop_until_empty)

s32 SX_OP(f36_loop_until_empty_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f36_loop_until_empty_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f36_loop_until_empty_dispatch, s32 cpu, struct task_struct *prev)
{
	bpf_repeat(BPF_MAX_LOOPS) {
		if (!sx_dsq_nr_queued(QUEUE) || sx_move_to_local(QUEUE))
			return;
	}
}

s32 SX_OP_SLEEPABLE(f36_loop_until_empty_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f36_loop_until_empty_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f36_loop_until_empty,
       .select_cpu = (void *)f36_loop_until_empty_select_cpu,
       .enqueue = (void *)f36_loop_until_empty_enqueue,
       .dispatch = (void *)f36_loop_until_empty_dispatch,
       .init = (void *)f36_loop_until_empty_init,
       .cpu_online = (void *)f36_loop_until_empty_cpu_online,
       .cpu_offline = (void *)f36_loop_until_empty_cpu_offline,
       .exit = (void *)f36_loop_until_empty_exit,
       .timeout_ms = 5000);
