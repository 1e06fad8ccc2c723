// SPDX-License-Identifier: GPL-2.0-only
/* A queue for each group of CPUs that are numbered side by side, as those that share a cache are. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum groups_dsq {
	NEAR = 10,
	FAR = 11,
};

const volatile u32 group_cpus = 1; /* CPUs per group */

static u64 turns;

static __always_inline u64 queue_of(s32 cpu)
{
	return (u32)cpu / group_cpus % 2 ? FAR : NEAR;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(groups)

s32 SX_OP(groups_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(groups_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = queue_of(sx_task_cpu(p));

	sx_insert(p, queue, sx_bounded_slice(10 * SX_MS, sx_dsq_nr_queued(queue), 1), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(groups_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = queue_of(cpu);

	/* Now and then the other goes first: its own CPUs may all be offline. */
	if (__sync_fetch_and_add(&turns, 1) % 4 == 0)
		first = first == NEAR ? FAR : NEAR;
	if (!sx_move_to_local(first))
		sx_move_to_local(first == NEAR ? FAR : NEAR);
}

s32 SX_OP_SLEEPABLE(groups_init)
{
	s32 err = sx_create_dsq(NEAR);

	if (err)
		return err;
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(FAR);
}

void SX_OP_SLEEPABLE(groups_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(groups,
       .select_cpu = (void *)groups_select_cpu,
       .enqueue = (void *)groups_enqueue,
       .dispatch = (void *)groups_dispatch,
       .cpu_online = (void *)groups_cpu_online,
       .cpu_offline = (void *)groups_cpu_offline,
       .init = (void *)groups_init,
       .exit = (void *)groups_exit,
       .timeout_ms = 5000);
