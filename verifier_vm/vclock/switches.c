// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the guest's kernel does when it goes on with another task: what that task pays, and a fingerprint of when it was.
 */
#include <stddef.h>

#include "slot.h"
#include "vclock.h"
#include "vcpus.h"

#define FNV_PRIME 0x100000001b3ull

/* FNV-1a (Fowler, Noll, Vo) over which vCPU and when: for comparing runs, not against forgery. */
uint64_t fingerprint(uint64_t hash, uint64_t ps)
{
	uint64_t word[2] = { vcpu_number(), ps };
	const unsigned char *byte = (const unsigned char *)word;
	size_t i;

	for (i = 0; i < sizeof(word); i++)
		hash = (hash ^ byte[i]) * FNV_PRIME;
	return hash;
}

/* The task that comes pays before its first instruction. */
static void pay_for_switch(void)
{
	clock_book();
	slot_pay(caches_switched(current->index, registers_rsi()));
}

void clock_footprint(unsigned int unused, void *bytes)
{
	(void)unused;
	clock_book();
	caches_footprint(current->index, (uintptr_t)bytes);
}

void clock_switched(unsigned int unused, void *nothing)
{
	(void)unused;
	(void)nothing;
	if (machine)
		pay_for_switch();
	stats->switch_hash = fingerprint(stats->switch_hash, clock_local_ps());
	stats->switches++;
	executed_switched();
}
