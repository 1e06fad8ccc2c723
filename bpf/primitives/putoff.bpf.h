/* SPDX-License-Identifier: GPL-2.0-only */
/* How long a task can be put off: rules of an order by due time (due.bpf.h), each at most most_ns. */
#ifndef SX_PRIMITIVE_PUTOFF_H
#define SX_PRIMITIVE_PUTOFF_H

#include "sx/sx.h"

#define SX_ALL 1024 /* the whole of a share */

static __always_inline u64 sx_at_most(u64 ns, u64 most_ns)
{
	return ns < most_ns ? ns : most_ns;
}

/* Nice 0 by ns, a task of twice the weight by half of it. */
static __always_inline u64 sx_put_off_by_weight(u64 ns, u32 weight, u64 most_ns)
{
	return sx_at_most(ns * SX_WEIGHT_NICE_0 / (weight ?: 1), most_ns);
}

/* By `times` the CPU time that it is expected to take. */
static __always_inline u64 sx_put_off_by_length(u64 expected_ns, u32 times, u64 most_ns)
{
	return sx_at_most(sx_at_most(expected_ns, most_ns) * times, most_ns);
}

/* Not at all with long_ns of CPU time or more, and the more the less it has used. */
static __always_inline u64 sx_put_off_short(u64 used_ns, u64 long_ns, u64 most_ns)
{
	u64 share = used_ns < long_ns ? used_ns * SX_ALL / long_ns : SX_ALL;

	return most_ns * (SX_ALL - share) / SX_ALL; /* in two steps: most_ns * used_ns would not fit 64 bits */
}

/* Not at all if each of its turns ends in sleep, and the more the fewer do; `sleeps` is a share of SX_ALL. */
static __always_inline u64 sx_put_off_by_sleep(u32 sleeps, u64 most_ns)
{
	return most_ns * (SX_ALL - sleeps) / SX_ALL;
}

/* From stopping: the share of turns that end in sleep, a moving average of which an eighth is the last turn. */
static __always_inline void sx_count_turn(u32 *sleeps, bool slept)
{
	*sleeps = (7 * *sleeps + (slept ? SX_ALL : 0)) / 8;
}

#endif
