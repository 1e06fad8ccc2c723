// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways to use the head of a queue, in one object: `f18` where all go there, `some` where it is for some, `ok` where nobody
 * does by the policy's doing, or it is no shared queue's. `looks` are dispatches, `slices` inserts by their slices.
 * Never loaded.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum {
	QUEUE = 0,
	OTHER = 1,
};

static volatile u64 wanted;

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

CASE(some_kernel_threads)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, sx_is_kthread(p) ? enq_flags | SX_ENQ_HEAD : enq_flags);
}

CASE(some_preempted)
{
	if (p->scx.slice && !(enq_flags & SX_ENQ_WAKEUP)) {
		sx_insert(p, QUEUE, p->scx.slice, enq_flags | SX_ENQ_HEAD);
		return;
	}
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

CASE(some_sleepers)
{
	if (p->nvcsw > p->nivcsw)
		enq_flags |= SX_ENQ_HEAD;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

CASE(some_by_shift)
{
	sx_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, (u64)(p->pid & 1) << 16);
}

CASE(some_that_memory_says)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags | wanted);
}

CASE(ok_without_the_bit)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, (enq_flags | wanted) & ~SX_ENQ_HEAD);
}

CASE(ok_another_bit_by_shift)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags | (u64)(p->pid & 1) << 15);
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

CASE(slices_two)
{
	sx_insert(p, p->scx.weight > 100 ? QUEUE : OTHER, 3000000, enq_flags);
}

CASE(slices_long)
{
	sx_insert(p, QUEUE, 1000000000, enq_flags);
}

CASE(slices_computed)
{
	sx_insert(p, QUEUE, wanted, enq_flags);
}

CASE(slices_not_always)
{
	if (p->pid & 1)
		sx_insert(p, QUEUE, 3000000, enq_flags);
}

#define LOOKS(name) void SX_OP(name, s32 cpu, struct task_struct *prev)

LOOKS(looks_always)
{
	sx_move_to_local(QUEUE);
}

LOOKS(looks_at_times)
{
	if (wanted < 6)
		sx_move_to_local(QUEUE);
}

LOOKS(looks_on_some_cpus)
{
	if (cpu != 1)
		sx_move_to_local(QUEUE);
}

LOOKS(looks_in_order)
{
	if (!sx_move_to_local(QUEUE))
		sx_move_to_local(OTHER);
}

LOOKS(looks_by_number)
{
	sx_move_to_local(cpu & 1);
}

SX_OPS(orders, .enqueue = (void *)f18_all);
