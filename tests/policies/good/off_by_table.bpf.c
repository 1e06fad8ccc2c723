// SPDX-License-Identifier: GPL-2.0-only
/* A table of constants turns each extra on or off; all are off. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

const volatile bool extras[4];
u64 rounds;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(off_by_table)

s32 SX_OP(off_by_table_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(off_by_table_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(off_by_table_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 i;

	if (extras[1]) {
		bpf_for(i, 0, 1 << 21)
			rounds++;
	}
	sx_move_to_local(QUEUE);
}

void SX_OP(off_by_table_stopping, struct task_struct *p, bool runnable)
{
	if (extras[0])
		sx_set_vtime(p, p->scx.dsq_vtime + (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight);
}

s32 SX_OP_SLEEPABLE(off_by_table_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(off_by_table_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(off_by_table,
       .select_cpu = (void *)off_by_table_select_cpu,
       .enqueue = (void *)off_by_table_enqueue,
       .dispatch = (void *)off_by_table_dispatch,
       .stopping = (void *)off_by_table_stopping,
       .init = (void *)off_by_table_init,
       .cpu_online = (void *)off_by_table_cpu_online,
       .cpu_offline = (void *)off_by_table_cpu_offline,
       .exit = (void *)off_by_table_exit,
       .timeout_ms = 5000);
