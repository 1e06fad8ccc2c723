/* SPDX-License-Identifier: GPL-2.0-only */
/* Queues per CPU, numbered as the CPUs are: taking from another's. */
#ifndef SX_PRIMITIVE_STEAL_H
#define SX_PRIMITIVE_STEAL_H

#include "sx/sx.h"

/*
 * Take one task that may run here from the first queue after `cpu` that has any; false if no queue has. The victim is
 * computed anew each time: a variable carried from round to round keeps the BPF verifier from seeing that it has seen all.
 */
static __always_inline bool sx_steal_any(u32 cpu, u32 queues)
{
	s32 i;

	bpf_for(i, 1, (s32)queues) {
		u32 victim = (cpu + i) % queues;

		if (sx_dsq_nr_queued(victim) > 0 && sx_move_to_local(victim))
			return true;
	}
	return false;
}

/* The longest of the `probes` queues after `from`; `from` itself if none is longer. */
static __always_inline u32 sx_longest_queue(u32 from, u32 queues, u32 probes)
{
	s32 longest_len = sx_dsq_nr_queued(from);
	u32 longest = from;
	s32 i;

	bpf_for(i, 1, (s32)probes + 1) {
		u32 victim = (from + i) % queues;
		s32 len = sx_dsq_nr_queued(victim);

		if (len > longest_len) {
			longest_len = len;
			longest = victim;
		}
	}
	return longest;
}

/* Does any queue hold a task? */
static __always_inline bool sx_any_queued(u32 queues)
{
	s32 i;

	bpf_for(i, 0, (s32)queues)
		if (sx_dsq_nr_queued(i) > 0)
			return true;
	return false;
}

#endif
