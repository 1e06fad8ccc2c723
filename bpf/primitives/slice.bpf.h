/* SPDX-License-Identifier: GPL-2.0-only */
/* Slices: shorter as more tasks wait, so that one turn for everybody always ends well before the kernel's watchdog. */
#ifndef SX_PRIMITIVE_SLICE_H
#define SX_PRIMITIVE_SLICE_H

#include "sx/sx.h"

/* One round over all that wait takes at most about this long; the watchdog's limit is 5 s. */
#define SX_ROUND_NS (1 * SX_SEC)

/* Below this a slice buys only context switches; the kernel ends slices at its tick, so 4 ms apart with HZ=250. */
#define SX_SLICE_FLOOR_NS (500 * SX_US)

/* The slice for one of `waiting` tasks shared by `cpus` CPUs: at most slice_ns, and a round of at most SX_ROUND_NS. */
static __always_inline u64 sx_bounded_slice(u64 slice_ns, s32 waiting, u32 cpus)
{
	u64 bound = SX_ROUND_NS * cpus / (waiting > 0 ? waiting : 1);

	if (bound < SX_SLICE_FLOOR_NS)
		bound = SX_SLICE_FLOOR_NS;
	return slice_ns < bound ? slice_ns : bound;
}

/* slice_ns for nice 0, and by weight for others: no shorter than the floor, no longer than four times slice_ns. */
static __always_inline u64 sx_slice_by_weight(u64 slice_ns, u32 weight)
{
	u64 ns = slice_ns * weight / SX_WEIGHT_NICE_0;

	if (ns < SX_SLICE_FLOOR_NS)
		return SX_SLICE_FLOOR_NS;
	return ns < 4 * slice_ns ? ns : 4 * slice_ns;
}

/* A slice that holds a burst twice, so that it ends in one turn; at least slice_ns, at most long_ns. */
static __always_inline u64 sx_slice_for_burst(u64 burst_ns, u64 slice_ns, u64 long_ns)
{
	u64 ns = burst_ns < long_ns ? 2 * burst_ns : long_ns;

	if (ns < slice_ns)
		return slice_ns;
	return ns < long_ns ? ns : long_ns;
}

/* From running: cut what is left of a slice. Never lengthens, or a task preempted often enough would run for ever. */
static __always_inline void sx_cut_slice(struct task_struct *p, u64 slice_ns)
{
	if (p->scx.slice > slice_ns)
		sx_set_slice(p, slice_ns);
}

/* From dispatch: is prev still runnable, so that a new slice would keep it on its CPU? */
static __always_inline bool sx_wants_cpu(const struct task_struct *prev)
{
	return prev && (prev->scx.flags & SCX_TASK_QUEUED);
}

#endif
