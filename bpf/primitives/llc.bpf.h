/* SPDX-License-Identifier: GPL-2.0-only */
/* Last-level caches: which CPUs share one, from the kernel's own scheduling domains. */
#ifndef SX_PRIMITIVE_LLC_H
#define SX_PRIMITIVE_LLC_H

#include "primitives/cpus.bpf.h"
#include "sx/sx.h"

extern const int sd_llc_id __ksym __weak;

/* The kernel's number of a CPU's last-level cache: any number, and the same for all that share it. */
static __always_inline u32 sx_llc_id(u32 cpu)
{
	const int *id = bpf_ksym_exists(&sd_llc_id) ? bpf_per_cpu_ptr(&sd_llc_id, cpu) : NULL;

	return id ? *id : 0;
}

/*
 * From init: number the caches from 0 and write down which is whose; how many there are. `number` is room to work in. What
 * was read once stays: the kernel's numbers change as CPUs go, and a queue must not. A CPU that was never online counts to
 * any of them.
 */
static __always_inline u32 sx_number_llcs(u32 *llc_of, u32 *number, u32 cpu_ids)
{
	u32 llcs = 0;
	s32 cpu;

	bpf_for(cpu, 0, (s32)cpu_ids) {
		u32 *at = sx_entry(number, sx_llc_id(cpu));

		if (!*at)
			*at = ++llcs;
		*sx_entry(llc_of, cpu) = *at - 1;
	}
	return llcs;
}

#endif
