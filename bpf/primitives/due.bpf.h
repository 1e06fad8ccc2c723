/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Due times: order a queue by "now + how long this task can be put off". Nobody starves, whatever the put-offs are,
 * because real time itself ages the queue: a task is overtaken only by those enqueued before it is due, and each of them
 * runs at most once ahead of it. So the longest wait is the longest put-off plus one round of the queue.
 */
#ifndef SX_PRIMITIVE_DUE_H
#define SX_PRIMITIVE_DUE_H

#include "sx/sx.h"

/* Insert into an own ordered queue, due put_off_ns from now (which may be negative: overdue from the start). */
static __always_inline u64 sx_insert_due(struct task_struct *p, u64 dsq_id, u64 slice_ns, s64 put_off_ns, u64 enq_flags)
{
	u64 due = sx_now() + put_off_ns;

	sx_insert_vtime(p, dsq_id, slice_ns, due, enq_flags);
	return due;
}

/* Is the first of the queue overdue by more than slack_ns? False for an empty queue. */
static __always_inline bool sx_head_overdue(u64 dsq_id, u64 now, s64 slack_ns)
{
	struct task_struct *head = sx_dsq_peek(dsq_id);

	return head && sx_before(head->scx.dsq_vtime + slack_ns, now);
}

#endif
