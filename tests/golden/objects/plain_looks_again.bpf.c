// SPDX-License-Identifier: GPL-2.0-only
/*
 * One queue, into which a CPU looks that has not gone off line; it looks again when it has come back.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum light_dsq {
	LIGHT_QUEUE = 0,
};

#define LIGHT_CPUS 1024

bool gone[LIGHT_CPUS];

SX_EXIT_RECORD();

s32 SX_OP(light_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(light_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LIGHT_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(light_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 number = cpu;

	if (number < LIGHT_CPUS && gone[number])
		return;
	sx_move_to_local(LIGHT_QUEUE);
}

void SX_OP_SLEEPABLE(light_cpu_online, s32 cpu)
{
	u32 number = cpu;

	if (number < LIGHT_CPUS)
		gone[number] = false;
}

void SX_OP_SLEEPABLE(light_cpu_offline, s32 cpu)
{
	u32 number = cpu;

	if (number < LIGHT_CPUS)
		gone[number] = true;
}

s32 SX_OP_SLEEPABLE(light_init)
{
	return sx_create_dsq(LIGHT_QUEUE);
}

void SX_OP_SLEEPABLE(light_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(light,
       .select_cpu = (void *)light_select_cpu,
       .enqueue = (void *)light_enqueue,
       .dispatch = (void *)light_dispatch,
       .cpu_online = (void *)light_cpu_online,
       .cpu_offline = (void *)light_cpu_offline,
       .init = (void *)light_init,
       .exit = (void *)light_exit,
       .timeout_ms = 5000);
