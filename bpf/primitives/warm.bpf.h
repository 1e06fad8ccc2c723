/* SPDX-License-Identifier: GPL-2.0-only */
/* Warm CPUs: those that ran something a short while ago are still fast and out of deep sleep. */
#ifndef SX_PRIMITIVE_WARM_H
#define SX_PRIMITIVE_WARM_H

#include "primitives/cpus.bpf.h"
#include "primitives/idle.bpf.h"
#include "sx/sx.h"

/* Claim a CPU if it is idle, p may run there, and it ran something less than warm_ns ago by the table `ran_at`. */
static __always_inline bool sx_claim_warm(const struct task_struct *p, const u64 *ran_at, u32 cpu, u64 warm_ns)
{
	return sx_before(sx_now(), *sx_entry(ran_at, cpu) + warm_ns) && bpf_cpumask_test_cpu___sx(cpu, p->cpus_ptr) &&
	       sx_claim_idle_cpu(cpu);
}

/*
 * The whole of a select_cpu callback: the CPU that p last ran on if that is idle and warm, else the first such, so that
 * the others stay cold; where none is, the kernel's choice, as sx_place_on_idle_cpu has it.
 */
static __always_inline s32 sx_place_on_warm_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags, u64 slice_ns,
						const u64 *ran_at, u32 cpu_ids, u64 warm_ns)
{
	s32 cpu;

	if (sx_claim_warm(p, ran_at, prev_cpu, warm_ns)) {
		sx_insert(p, SX_DSQ_LOCAL, slice_ns, 0);
		return prev_cpu;
	}
	bpf_for(cpu, 0, (s32)cpu_ids) {
		if (!sx_claim_warm(p, ran_at, cpu, warm_ns))
			continue;
		sx_insert(p, SX_DSQ_LOCAL, slice_ns, 0);
		return cpu;
	}
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

#endif
