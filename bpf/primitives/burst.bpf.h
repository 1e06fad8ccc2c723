/* SPDX-License-Identifier: GPL-2.0-only */
/* Bursts: the CPU time a task uses between a wake-up and its next sleep, and what it usually is. */
#ifndef SX_PRIMITIVE_BURST_H
#define SX_PRIMITIVE_BURST_H

#include "primitives/cputime.bpf.h"
#include "sx/sx.h"

struct sx_burst {
	u64 mark; /* CPU time when the burst began */
	u64 usual_ns; /* moving average of those that ended, a quarter of it the last */
};

/* From quiescent, when p falls asleep: the burst ends, and the next begins where this one did. */
static __always_inline void sx_end_burst(const struct task_struct *p, struct sx_burst *burst)
{
	burst->usual_ns = (3 * burst->usual_ns + sx_cpu_time_since(p, burst->mark)) / 4;
	sx_mark_cpu_time(p, &burst->mark);
}

/* CPU time of the present burst: what is usual, or what it has used already where that is more. */
static __always_inline u64 sx_expected_burst_ns(const struct task_struct *p, const struct sx_burst *burst)
{
	u64 used = sx_cpu_time_since(p, burst->mark);

	return used > burst->usual_ns ? used : burst->usual_ns;
}

#endif
