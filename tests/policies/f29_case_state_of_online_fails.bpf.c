// fails: survive: CPU 1 was never set up
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/* State of the CPUs that are online at the start; the first task on one that comes later ends the policy. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#define MOST 512

static u8 known[MOST];

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_online_known)

void SX_OP(f29_online_known_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f29_online_known_running, struct task_struct *p)
{
	u32 cpu = sx_task_cpu(p);

	if (cpu < MOST && !known[cpu])
		sx_error("CPU %d was never set up", cpu);
}

s32 SX_OP_SLEEPABLE(f29_online_known_init)
{
	u32 i;

	bpf_for(i, 0, MOST) {
		if (i < sx_nr_cpu_ids())
			known[i] = sx_cpu_online(i);
	}
	return 0;
}

void SX_OP_SLEEPABLE(f29_online_known_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_online_known,
       .enqueue = (void *)f29_online_known_enqueue,
       .running = (void *)f29_online_known_running,
       .init = (void *)f29_online_known_init,
       .cpu_online = (void *)f29_online_known_cpu_online,
       .cpu_offline = (void *)f29_online_known_cpu_offline,
       .exit = (void *)f29_online_known_exit,
       .timeout_ms = 5000);
