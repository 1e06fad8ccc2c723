// fails: object: may not call scx_bpf_dsq_move_to_local
// SPDX-License-Identifier: GPL-2.0-only
/* Only dispatch may move tasks to a CPU's own queue. */
#include "sx/sx.h"

enum context_dsq {
	CONTEXT_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(context)

void SX_OP(context_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, CONTEXT_QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_move_to_local(CONTEXT_QUEUE);
}

void SX_OP(context_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(CONTEXT_QUEUE);
}

s32 SX_OP_SLEEPABLE(context_init)
{
	return sx_create_dsq(CONTEXT_QUEUE);
}

void SX_OP_SLEEPABLE(context_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(context,
       .enqueue = (void *)context_enqueue,
       .dispatch = (void *)context_dispatch,
       .cpu_online = (void *)context_cpu_online,
       .cpu_offline = (void *)context_cpu_offline,
       .init = (void *)context_init,
       .exit = (void *)context_exit,
       .timeout_ms = 5000);
