// fails: survive: starved by tasks
// bug: F43
// SPDX-License-Identifier: GPL-2.0-only
/* Whoever is bound to one CPU goes to its local queue, all others share one: local queues are served first. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f43_local_dsq {
	REST = 43,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f43_local)

void SX_OP(f43_local_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_pinned(p)) {
		sx_insert(p, SX_DSQ_LOCAL, 40 * SX_MS, enq_flags);
		return;
	}
	sx_insert(p, REST, 40 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f43_local_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(REST);
}

s32 SX_OP_SLEEPABLE(f43_local_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(REST);
}

void SX_OP_SLEEPABLE(f43_local_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f43_local,
       .enqueue = (void *)f43_local_enqueue,
       .dispatch = (void *)f43_local_dispatch,
       .cpu_online = (void *)f43_local_cpu_online,
       .cpu_offline = (void *)f43_local_cpu_offline,
       .init = (void *)f43_local_init,
       .exit = (void *)f43_local_exit,
       .timeout_ms = 5000);
