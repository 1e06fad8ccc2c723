/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtual time: CPU time divided by weight; who has had least runs next. */
#ifndef SX_PRIMITIVE_VTIME_H
#define SX_PRIMITIVE_VTIME_H

#include "sx/sx.h"

/*
 * Move the queue's clock up to the vtime of a task that starts to run; it never goes back. One try: who loses the race
 * lost it to a CPU that moved the clock up itself, and the next task to run catches up.
 */
static __always_inline void sx_advance_vtime(u64 *clock, u64 vtime)
{
	u64 now = *(volatile u64 *)clock;

	if (sx_before(now, vtime))
		__sync_val_compare_and_swap(clock, now, vtime);
}

/*
 * How far a vtime may run ahead of the clock so that its task waits at most about wait_ns of real time: the clock moves
 * on by cpus * 100 / load for each ns, load being the sum of the weights of all that are runnable.
 */
static __always_inline u64 sx_vtime_lead(u64 wait_ns, u32 cpus, s64 load)
{
	return wait_ns * cpus * SX_WEIGHT_NICE_0 / (load > 0 ? (u64)load : SX_WEIGHT_NICE_0);
}

/*
 * In how many ns of real time the clock will come to a vtime if the load stays what it is; below 0 if it has passed it.
 * Ordered by "now" plus this, tasks stand as they would by vtime, and still none can be put off for ever when the load
 * grows: see due.bpf.h.
 */
static __always_inline s64 sx_vtime_due_in(u64 vtime, u64 clock, u32 cpus, s64 load)
{
	u64 distance = sx_before(vtime, clock) ? clock - vtime : vtime - clock;
	u64 ns = distance * (load > 0 ? (u64)load : SX_WEIGHT_NICE_0) / (SX_WEIGHT_NICE_0 * (cpus ?: 1));

	return sx_before(vtime, clock) ? -(s64)ns : (s64)ns; /* BPF has no signed division */
}

#endif
