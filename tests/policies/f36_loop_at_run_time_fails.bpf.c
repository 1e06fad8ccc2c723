// fails: survive: soft lockup | watchdog failed to check in
// bug: F36
// SPDX-License-Identifier: GPL-2.0-only
/* Now and then dispatch goes over rows and columns whose numbers are read at run time: a hundred million entries. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f36_run_time_dsq {
	QUEUE = 0,
};

static volatile u32 rows = 100, columns = 1000000;
static u32 sum, dispatches;

static int add(u32 i, void *unused)
{
	sum += i;
	return 0;
}

static int add_row(u32 i, void *unused)
{
	bpf_loop(columns, add, NULL, 0);
	return 0;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f36_run_time)

s32 SX_OP(f36_run_time_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f36_run_time_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f36_run_time_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_add(&dispatches, 1) % 1000 == 400)
		bpf_loop(rows, add_row, NULL, 0);
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f36_run_time_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f36_run_time_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f36_run_time,
       .select_cpu = (void *)f36_run_time_select_cpu,
       .enqueue = (void *)f36_run_time_enqueue,
       .dispatch = (void *)f36_run_time_dispatch,
       .cpu_online = (void *)f36_run_time_cpu_online,
       .cpu_offline = (void *)f36_run_time_cpu_offline,
       .init = (void *)f36_run_time_init,
       .exit = (void *)f36_run_time_exit,
       .timeout_ms = 5000);
