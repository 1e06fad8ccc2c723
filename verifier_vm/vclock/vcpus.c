// SPDX-License-Identifier: GPL-2.0-or-later
#include <stddef.h>

#include "slot.h"
#include "vclock.h"
#include "vcpus.h"

static struct vcpu vcpus[MAX_VCPUS + 1];	/* in the order in which they were first seen; the last is always free */
struct vcpu *current = vcpus;
unsigned int vcpu_count;

struct vcpu *vcpu_of(void *cpu, uint64_t since_ps)
{
	struct vcpu *v = vcpus;

	while (v->cpu && v->cpu != cpu)
		v++;
	if (!v->cpu) {
		v->cpu = cpu;
		v->index = qemu_index(cpu);
		v->local_ps = since_ps;
		speed_busy(v->index, true);
	}
	return v;
}

unsigned int vcpu_number(void)
{
	return (unsigned int)(current - vcpus);
}

/* Whether another vCPU that is not halted is before `ps`; one that was woken and not yet seen is not counted. */
bool another_before(uint64_t ps)
{
	const struct vcpu *v;

	for (v = vcpus; v->cpu; v++)
		if (v != current && !v->halted && v->local_ps < ps)
			return true;
	return false;
}

/* Whether an interrupt may wake a vCPU: one that has halted, or one that has not begun. */
bool another_sleeps(void)
{
	const struct vcpu *v;

	for (v = vcpus; v->cpu; v++)
		if (v != current && v->halted)
			return true;
	return v < vcpus + vcpu_count;
}
