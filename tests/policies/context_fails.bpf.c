// fails: kernel: calling kernel function scx_bpf_dsq_move_to_local
// SPDX-License-Identifier: GPL-2.0-only
/* Only dispatch may move tasks to a CPU's own queue. */
#include "sx/sx.h"

enum context_dsq {
	CONTEXT_QUEUE = 0,
};

void SX_OP(context_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, CONTEXT_QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_move_to_local(CONTEXT_QUEUE);
}

s32 SX_OP_SLEEPABLE(context_init)
{
	return sx_create_dsq(CONTEXT_QUEUE);
}

SX_OPS(context, .enqueue = (void *)context_enqueue, .init = (void *)context_init, .timeout_ms = 5000);
