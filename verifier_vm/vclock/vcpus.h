/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vCPUs as the clock has seen them. */
#ifndef VCLOCK_VCPUS_H
#define VCLOCK_VCPUS_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu {
	void *cpu;
	unsigned int index;	/* QEMU's, and the guest's */
	uint64_t local_ps;	/* when its slot began; while it does not run, its time */
	bool halted;
	uint64_t halted_ps;	/* when it last did */
	uint64_t left_at;	/* how many slots had been begun when it last gave way to the others */
};

extern struct vcpu *current;	/* whose slot it is */
extern unsigned int vcpu_count;

struct vcpu *vcpu_of(void *cpu, uint64_t since_ps);	/* one that is seen for the first time begins then */
unsigned int vcpu_number(void);				/* of the current one, in the order in which they were first seen */
bool another_before(uint64_t ps);
bool another_sleeps(void);

#endif
