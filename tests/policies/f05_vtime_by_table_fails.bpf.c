// fails: object: built-in
// bug: F05
// SPDX-License-Identifier: GPL-2.0-only
/* A table of constants has a queue for each kind of task, and one of them is the global one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

const volatile u64 targets[2] = { SCX_DSQ_GLOBAL, QUEUE };
u64 now;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f05_vtime_by_table)

s32 SX_OP(f05_vtime_by_table_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f05_vtime_by_table_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert_vtime(p, targets[sx_is_kthread(p) ? 0 : 1], SCX_SLICE_DFL, now++, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f05_vtime_by_table_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f05_vtime_by_table_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f05_vtime_by_table_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f05_vtime_by_table,
       .select_cpu = (void *)f05_vtime_by_table_select_cpu,
       .enqueue = (void *)f05_vtime_by_table_enqueue,
       .dispatch = (void *)f05_vtime_by_table_dispatch,
       .init = (void *)f05_vtime_by_table_init,
       .cpu_online = (void *)f05_vtime_by_table_cpu_online,
       .cpu_offline = (void *)f05_vtime_by_table_cpu_offline,
       .exit = (void *)f05_vtime_by_table_exit,
       .timeout_ms = 5000);
