// SPDX-License-Identifier: GPL-2.0-only
/* Slices without end; the tick ends a turn that others wait for. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum endless_dsq {
	QUEUE = 0,
};

enum {
	MAX_CPUS = 512,
};

static u64 began[MAX_CPUS];

SX_EXIT_RECORD();
SX_COUNTS_CPUS(endless)

s32 SX_OP(endless_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_INF);
}

void SX_OP(endless_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_INF, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(endless_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(endless_tick, struct task_struct *p)
{
	u64 since = began[sx_task_cpu(p) & (MAX_CPUS - 1)];
	s32 waiting = sx_dsq_nr_queued(QUEUE);

	if (waiting > 0 && sx_before(since + sx_bounded_slice(6 * SX_MS, waiting, cpus), sx_now()))
		sx_set_slice(p, 0);
}

void SX_OP(endless_running, struct task_struct *p)
{
	began[sx_task_cpu(p) & (MAX_CPUS - 1)] = sx_now();
}

s32 SX_OP_SLEEPABLE(endless_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(endless_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(endless,
       .select_cpu = (void *)endless_select_cpu,
       .enqueue = (void *)endless_enqueue,
       .dispatch = (void *)endless_dispatch,
       .tick = (void *)endless_tick,
       .running = (void *)endless_running,
       .cpu_online = (void *)endless_cpu_online,
       .cpu_offline = (void *)endless_cpu_offline,
       .init = (void *)endless_init,
       .exit = (void *)endless_exit,
       .timeout_ms = 5000);
