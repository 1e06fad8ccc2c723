// fails: survive: starved by tasks
// bug: F43
// SPDX-License-Identifier: GPL-2.0-only
/* Others share one queue in order of vtime; who is bound to one CPU stands in no order, but in its local queue. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f43_ordered_dsq {
	REST = 43,
};

static u64 clock;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f43_ordered)

void SX_OP(f43_ordered_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_pinned(p)) {
		sx_insert(p, SX_DSQ_LOCAL, 40 * SX_MS, enq_flags);
		return;
	}
	if (p->scx.dsq_vtime + 40 * SX_MS < clock)
		sx_set_vtime(p, clock - 40 * SX_MS);
	sx_insert_vtime(p, REST, 40 * SX_MS, p->scx.dsq_vtime, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f43_ordered_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(REST);
}

void SX_OP(f43_ordered_running, struct task_struct *p)
{
	if (p->scx.dsq_vtime > clock)
		clock = p->scx.dsq_vtime;
}

void SX_OP(f43_ordered_stopping, struct task_struct *p, bool runnable)
{
	sx_set_vtime(p, p->scx.dsq_vtime + (40 * SX_MS - p->scx.slice) * 100 / p->scx.weight);
}

void SX_OP(f43_ordered_enable, struct task_struct *p)
{
	sx_set_vtime(p, clock);
}

s32 SX_OP_SLEEPABLE(f43_ordered_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(REST);
}

void SX_OP_SLEEPABLE(f43_ordered_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f43_ordered,
       .enqueue = (void *)f43_ordered_enqueue,
       .dispatch = (void *)f43_ordered_dispatch,
       .cpu_online = (void *)f43_ordered_cpu_online,
       .cpu_offline = (void *)f43_ordered_cpu_offline,
       .running = (void *)f43_ordered_running,
       .stopping = (void *)f43_ordered_stopping,
       .enable = (void *)f43_ordered_enable,
       .init = (void *)f43_ordered_init,
       .exit = (void *)f43_ordered_exit,
       .timeout_ms = 5000);
