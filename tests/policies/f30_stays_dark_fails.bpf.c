// fails: survive: runnable task stall | made no progress
// bug: F30
// SPDX-License-Identifier: GPL-2.0-only
/*
 * One queue, into which a CPU looks that has not gone off line: who takes it off the list has forgotten to put it on again.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum dark_dsq {
	DARK_QUEUE = 0,
};

#define DARK_CPUS 1024

bool gone[DARK_CPUS];

SX_EXIT_RECORD();

s32 SX_OP(dark_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(dark_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, DARK_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(dark_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 number = cpu;

	if (number < DARK_CPUS && gone[number])
		return;
	sx_move_to_local(DARK_QUEUE);
}

void SX_OP_SLEEPABLE(dark_cpu_online, s32 cpu)
{
}

void SX_OP_SLEEPABLE(dark_cpu_offline, s32 cpu)
{
	u32 number = cpu;

	if (number < DARK_CPUS)
		gone[number] = true;
}

s32 SX_OP_SLEEPABLE(dark_init)
{
	return sx_create_dsq(DARK_QUEUE);
}

void SX_OP_SLEEPABLE(dark_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(dark,
       .select_cpu = (void *)dark_select_cpu,
       .enqueue = (void *)dark_enqueue,
       .dispatch = (void *)dark_dispatch,
       .cpu_online = (void *)dark_cpu_online,
       .cpu_offline = (void *)dark_cpu_offline,
       .init = (void *)dark_init,
       .exit = (void *)dark_exit,
       .timeout_ms = 5000);
