/* SPDX-License-Identifier: GPL-2.0-only */
/* CPU time a task has used since a mark, from the kernel's own count: slices are zeroed by preemption, this is not. */
#ifndef SX_PRIMITIVE_CPUTIME_H
#define SX_PRIMITIVE_CPUTIME_H

#include "sx/sx.h"

static __always_inline void sx_mark_cpu_time(const struct task_struct *p, u64 *mark)
{
	*mark = p->se.sum_exec_runtime;
}

static __always_inline u64 sx_cpu_time_since(const struct task_struct *p, u64 mark)
{
	return p->se.sum_exec_runtime - mark;
}

#endif
