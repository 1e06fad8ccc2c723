// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways to use the head of a queue, in one object: `f18` where all go there, `ok` where it is for some, or no shared queue's.
 * Never loaded.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum {
	QUEUE = 0,
	OTHER = 1,
};

#define CASE(name) void SX_OP(name, struct task_struct *p, u64 enq_flags)

CASE(f18_all)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags | SX_ENQ_HEAD);
}

CASE(f18_global)
{
	sx_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags | SX_ENQ_HEAD);
}

CASE(f18_all_but_local)
{
	if (sx_is_kthread(p))
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
	else
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags | SX_ENQ_HEAD);
}

CASE(f18_computed)
{
	sx_insert(p, sx_task_cpu(p), SCX_SLICE_DFL, enq_flags | SX_ENQ_HEAD);
}

CASE(f18_one_of_two)
{
	if (p->scx.weight > 100)
		sx_insert(p, OTHER, SCX_SLICE_DFL, enq_flags);
	else
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags | SX_ENQ_HEAD);
}

CASE(ok_kernel_threads)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, sx_is_kthread(p) ? enq_flags | SX_ENQ_HEAD : enq_flags);
}

CASE(ok_preempted)
{
	if (p->scx.slice && !(enq_flags & SX_ENQ_WAKEUP)) {
		sx_insert(p, QUEUE, p->scx.slice, enq_flags | SX_ENQ_HEAD);
		return;
	}
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

CASE(ok_local)
{
	sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags | SX_ENQ_HEAD);
}

CASE(ok_as_given)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

CASE(ok_another_flag)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags | SX_ENQ_WAKEUP);
}

CASE(ok_by_vtime)
{
	sx_insert_vtime(p, QUEUE, SCX_SLICE_DFL, p->scx.dsq_vtime, enq_flags | SX_ENQ_HEAD);
}

SX_OPS(orders, .enqueue = (void *)f18_all);
