// fails: object: destroy
// bug: F34
// SPDX-License-Identifier: GPL-2.0-only
/* Throws its queue away whenever it is empty, and goes on using it. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f34_destroyed_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f34_destroyed)

s32 SX_OP(f34_destroyed_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f34_destroyed_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f34_destroyed_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(QUEUE) && !sx_dsq_nr_queued(QUEUE))
		sx_destroy_dsq(QUEUE);
}

s32 SX_OP_SLEEPABLE(f34_destroyed_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f34_destroyed_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f34_destroyed,
       .select_cpu = (void *)f34_destroyed_select_cpu,
       .enqueue = (void *)f34_destroyed_enqueue,
       .dispatch = (void *)f34_destroyed_dispatch,
       .cpu_online = (void *)f34_destroyed_cpu_online,
       .cpu_offline = (void *)f34_destroyed_cpu_offline,
       .init = (void *)f34_destroyed_init,
       .exit = (void *)f34_destroyed_exit,
       .timeout_ms = 5000);
