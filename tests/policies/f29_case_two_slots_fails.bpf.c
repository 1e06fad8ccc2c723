// fails: survive: has no slot
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/*
 * A slot for each of two CPUs in an array of the program's own. The first stops elsewhere are let go: it would end while it is
 * being attached, or soon after, as it happens.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#define SLOTS 2

static u64 served[SLOTS], elsewhere;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_two_slots)

void SX_OP(f29_two_slots_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f29_two_slots_stopping, struct task_struct *p, bool runnable)
{
	u32 cpu = sx_task_cpu(p);

	if (cpu < SLOTS)
		served[cpu]++;
	else if (++elsewhere > 100)
		sx_error("CPU %d has no slot", cpu);
}

void SX_OP_SLEEPABLE(f29_two_slots_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_two_slots,
       .enqueue = (void *)f29_two_slots_enqueue,
       .stopping = (void *)f29_two_slots_stopping,
       .cpu_online = (void *)f29_two_slots_cpu_online,
       .cpu_offline = (void *)f29_two_slots_cpu_offline,
       .exit = (void *)f29_two_slots_exit,
       .timeout_ms = 5000);
