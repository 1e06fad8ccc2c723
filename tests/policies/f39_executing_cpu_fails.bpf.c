// suspected: object: bpf_get_smp_processor_id
// bug: F39
// ends: not seen: only a count is wrong, and nobody is held up by it
// SPDX-License-Identifier: GPL-2.0-only
/* Counts turns for the CPU that executes the callback; it can be another than the task's. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f39_executing_dsq {
	QUEUE = 0,
};

enum {
	MAX_CPUS = 1024,
};

static u64 turn_began[MAX_CPUS];

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f39_executing)

s32 SX_OP(f39_executing_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f39_executing_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f39_executing_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(f39_executing_running, struct task_struct *p)
{
	turn_began[bpf_get_smp_processor_id() & (MAX_CPUS - 1)] = sx_now();
}

void SX_OP(f39_executing_stopping, struct task_struct *p, bool runnable)
{
	u64 *began = &turn_began[bpf_get_smp_processor_id() & (MAX_CPUS - 1)];

	if (sx_now() - *began > SX_SEC)
		*began = 0;
}

s32 SX_OP_SLEEPABLE(f39_executing_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f39_executing_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f39_executing,
       .select_cpu = (void *)f39_executing_select_cpu,
       .enqueue = (void *)f39_executing_enqueue,
       .dispatch = (void *)f39_executing_dispatch,
       .running = (void *)f39_executing_running,
       .stopping = (void *)f39_executing_stopping,
       .cpu_online = (void *)f39_executing_cpu_online,
       .cpu_offline = (void *)f39_executing_cpu_offline,
       .init = (void *)f39_executing_init,
       .exit = (void *)f39_executing_exit,
       .timeout_ms = 5000);
