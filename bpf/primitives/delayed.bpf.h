/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tasks that sleep while they are ahead of a fair queue's clock stay counted in it until the clock has come to them: so a
 * debt is not forgotten by a short sleep, nor the mean moved by it. A queue remembers a few; more leave at once.
 */
#ifndef SX_PRIMITIVE_DELAYED_H
#define SX_PRIMITIVE_DELAYED_H

#include "primitives/fair.bpf.h"
#include "sx/sx.h"

#define SX_DELAYED 8 /* a power of two */

struct sx_delayed {
	struct {
		u64 vtime;
		s64 weight;
		u32 pid; /* 0: free */
	} slots[SX_DELAYED];
};

/* Remember a task that falls asleep; false if there is no room. With the queue's CPU locked, as sleeping is. */
static __always_inline bool sx_delay(struct sx_delayed *delayed, u32 pid, u64 vtime, s64 weight)
{
	s32 i;

	bpf_for(i, 0, SX_DELAYED) {
		u32 slot = i & (SX_DELAYED - 1);

		if (delayed->slots[slot].pid)
			continue;
		delayed->slots[slot].vtime = vtime;
		delayed->slots[slot].weight = weight;
		delayed->slots[slot].pid = pid;
		return true;
	}
	return false;
}

static __always_inline bool sx_is_delayed(const struct sx_delayed *delayed, u32 pid)
{
	s32 i;

	bpf_for(i, 0, SX_DELAYED)
		if (delayed->slots[i & (SX_DELAYED - 1)].pid == pid)
			return true;
	return false;
}

/* It wakes: whether it was still remembered, and so is counted. Of this and sx_drop_delayed one gets it. */
static __always_inline bool sx_undelay(struct sx_delayed *delayed, u32 pid)
{
	s32 i;

	bpf_for(i, 0, SX_DELAYED)
		if (__sync_val_compare_and_swap(&delayed->slots[i & (SX_DELAYED - 1)].pid, pid, 0) == pid)
			return true;
	return false;
}

/* Let those go that the clock has come to, or all of them. */
static __always_inline void sx_drop_delayed(struct sx_delayed *delayed, struct sx_fair *fair, bool all, u64 now)
{
	s32 i;

	bpf_for(i, 0, SX_DELAYED) {
		u32 slot = i & (SX_DELAYED - 1), pid = delayed->slots[slot].pid;
		u64 vtime = delayed->slots[slot].vtime;
		s64 weight = delayed->slots[slot].weight;

		if (!pid || (!all && sx_before(sx_fair_clock(fair, now), vtime)))
			continue;
		if (__sync_val_compare_and_swap(&delayed->slots[slot].pid, pid, 0) == pid)
			sx_fair_count(fair, vtime, -weight, now);
	}
}

#endif
