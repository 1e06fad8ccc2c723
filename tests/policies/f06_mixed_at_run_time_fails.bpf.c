// fails: kernel: -enqueued tasks
// bug: F06
// or: survive: -enqueued tasks
// either: the second kind of task ends it: while it is attached, where one comes so soon, or in the mix
// SPDX-License-Identifier: GPL-2.0-only
/* An ordered queue and one that is not, whose ids are read at run time and turn out to be one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f06_run_time_dsq {
	QUEUE = 0,
};

static volatile u64 ordered = QUEUE, appended = QUEUE;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f06_run_time)

s32 SX_OP(f06_run_time_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f06_run_time_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.weight == 100)
		sx_insert(p, appended, SCX_SLICE_DFL, enq_flags);
	else
		sx_insert_vtime(p, ordered, SCX_SLICE_DFL, sx_now(), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f06_run_time_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(ordered))
		sx_move_to_local(appended);
}

s32 SX_OP_SLEEPABLE(f06_run_time_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f06_run_time_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f06_run_time,
       .select_cpu = (void *)f06_run_time_select_cpu,
       .enqueue = (void *)f06_run_time_enqueue,
       .dispatch = (void *)f06_run_time_dispatch,
       .cpu_online = (void *)f06_run_time_cpu_online,
       .cpu_offline = (void *)f06_run_time_cpu_offline,
       .init = (void *)f06_run_time_init,
       .exit = (void *)f06_run_time_exit,
       .timeout_ms = 5000);
