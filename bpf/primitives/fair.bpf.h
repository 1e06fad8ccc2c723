/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual clock of a fair queue: the mean vtime of its runnable tasks by weight. A task's lag is how far it is behind
 * that mean, so it is owed CPU time where its vtime is not above it. Joining and leaving move the mean, as CPU time does.
 * Updates by several CPUs at once are added up and never lost; each may be computed from figures that are a moment old.
 */
#ifndef SX_PRIMITIVE_FAIR_H
#define SX_PRIMITIVE_FAIR_H

#include "sx/sx.h"

struct sx_fair {
	u64 clock; /* as of the beginning of the present turn */
	s64 load; /* sum of the weights of the runnable tasks */
	u64 turn_began; /* when the running task began its turn; 0 if none runs */
};

/* BPF has no signed division. */
static __always_inline s64 sx_div_signed(s64 value, u64 by)
{
	return value < 0 ? -(s64)((u64)-value / by) : (s64)((u64)value / by);
}

/* CPU time used in the present turn and not charged yet. */
static __always_inline u64 sx_fair_pending(const struct sx_fair *fair, u64 now)
{
	u64 began = fair->turn_began;

	return began && sx_before(began, now) ? now - began : 0;
}

static __always_inline u64 sx_fair_clock(const struct sx_fair *fair, u64 now)
{
	s64 load = fair->load;

	return fair->clock + (load > 0 ? sx_fair_pending(fair, now) * SX_WEIGHT_NICE_0 / (u64)load : 0);
}

/* A task of this weight has used cpu_ns; its own vtime is the caller's affair. */
static __always_inline void sx_fair_charge(struct sx_fair *fair, u64 cpu_ns)
{
	s64 load = fair->load;

	if (load > 0)
		__sync_fetch_and_add(&fair->clock, cpu_ns * SX_WEIGHT_NICE_0 / (u64)load);
}

/*
 * The vtime with which a task joins so that it has this lag once it is counted: its coming moves the mean towards it, so
 * it is put further away by as much.
 */
static __always_inline u64 sx_fair_place(const struct sx_fair *fair, s64 lag, u32 weight, u64 now)
{
	s64 load = fair->load;

	if (load <= 0)
		return fair->clock;
	return sx_fair_clock(fair, now) - lag - sx_div_signed(lag * (s64)weight, load);
}

/* One task more (weight above 0) or fewer (below 0), of that vtime. */
static __always_inline void sx_fair_count(struct sx_fair *fair, u64 vtime, s64 weight, u64 now)
{
	s64 load = fair->load, after = load + weight;
	u64 clock = sx_fair_clock(fair, now), moved;

	__sync_fetch_and_add(&fair->load, weight);
	if (after <= 0)
		return;
	if (load <= 0) {
		fair->clock = vtime;
		return;
	}
	moved = clock + sx_div_signed((s64)(vtime - clock) * weight, after);
	moved -= sx_fair_pending(fair, now) * SX_WEIGHT_NICE_0 / (u64)after; /* which sx_fair_clock adds again */
	__sync_fetch_and_add(&fair->clock, moved - fair->clock);
}

#endif
