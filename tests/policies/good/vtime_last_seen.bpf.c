// SPDX-License-Identifier: GPL-2.0-only
/* What vtime the last task to stop had is told to whoever looks; the queue is first come first served. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

u64 last_seen;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(vtime_last_seen)

s32 SX_OP(vtime_last_seen_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(vtime_last_seen_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(vtime_last_seen_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(vtime_last_seen_stopping, struct task_struct *p, bool runnable)
{
	last_seen = p->scx.dsq_vtime;
}

s32 SX_OP_SLEEPABLE(vtime_last_seen_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(vtime_last_seen_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(vtime_last_seen,
       .select_cpu = (void *)vtime_last_seen_select_cpu,
       .enqueue = (void *)vtime_last_seen_enqueue,
       .dispatch = (void *)vtime_last_seen_dispatch,
       .stopping = (void *)vtime_last_seen_stopping,
       .init = (void *)vtime_last_seen_init,
       .cpu_online = (void *)vtime_last_seen_cpu_online,
       .cpu_offline = (void *)vtime_last_seen_cpu_offline,
       .exit = (void *)vtime_last_seen_exit,
       .timeout_ms = 5000);
