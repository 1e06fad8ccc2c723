/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel threads bound to one CPU: others wait for them, and they run for microseconds, so they go first. */
#ifndef SX_PRIMITIVE_KTHREAD_H
#define SX_PRIMITIVE_KTHREAD_H

#include "sx/sx.h"

/*
 * From enqueue: true if p was such a thread and is dealt with. Only when it wakes: one that has used up its slice queues
 * like anybody, because a CPU serves its local queue before ours and a busy kthread there would starve all others.
 */
static __always_inline bool sx_insert_woken_kthread(struct task_struct *p, u64 slice_ns, u64 enq_flags)
{
	if (!(enq_flags & SX_ENQ_WAKEUP) || !sx_is_kthread(p) || !sx_is_pinned(p))
		return false;
	sx_insert(p, SX_DSQ_LOCAL, slice_ns, enq_flags);
	return true;
}

#endif
