// SPDX-License-Identifier: GPL-2.0-only
/* Round robin in short turns; who wakes and finds no idle CPU ends the turn on its own, if that has lasted a while. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum preempting_dsq {
	QUEUE = 0,
};

enum {
	MAX_CPUS = 512,
};

static u64 began[MAX_CPUS];

SX_EXIT_RECORD();
SX_COUNTS_CPUS(preempting)

s32 SX_OP(preempting_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(preempting_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle_cpu, cpu = sx_task_cpu(p);

	sx_insert(p, QUEUE, sx_bounded_slice(4 * SX_MS, sx_dsq_nr_queued(QUEUE), cpus), enq_flags);
	idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle_cpu >= 0)
		sx_kick_cpu(idle_cpu, SX_KICK_IDLE);
	else if ((enq_flags & SX_ENQ_WAKEUP) && sx_before(began[cpu & (MAX_CPUS - 1)] + SX_MS, sx_now()))
		sx_kick_cpu(cpu, SX_KICK_PREEMPT);
}

void SX_OP(preempting_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(preempting_running, struct task_struct *p)
{
	began[sx_task_cpu(p) & (MAX_CPUS - 1)] = sx_now();
}

s32 SX_OP_SLEEPABLE(preempting_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(preempting_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(preempting,
       .select_cpu = (void *)preempting_select_cpu,
       .enqueue = (void *)preempting_enqueue,
       .dispatch = (void *)preempting_dispatch,
       .running = (void *)preempting_running,
       .cpu_online = (void *)preempting_cpu_online,
       .cpu_offline = (void *)preempting_cpu_offline,
       .init = (void *)preempting_init,
       .exit = (void *)preempting_exit,
       .timeout_ms = 5000);
