// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How fast each CPU is at the moment: threads of one core slow each other, more busy cores lower the clock, CPUs may differ
 * by design, and working sets that do not fit into their LLC together are fetched from memory, which all of a node share.
 *
 * A stretch is asked for when a slot begins and holds until it ends: no later than at the horizon at which the vCPUs wait
 * for each other, so that it is a function of the guest.
 */
#define _GNU_SOURCE 1
#include <stddef.h>
#include <sys/mman.h>

#include "machine.h"

const struct machine *machine;
struct paid paid;

static bool busy[MAX_CPUS];
static unsigned int busy_threads[MAX_CPUS], busy_cores[MAX_CPUS];	/* by core, by node */

/* A speed as the time for each unit of work, and the share of that time that is lost to it; both in 1/UNSTRETCHED. */
struct factor {
	uint64_t stretch, lost;
};
static const struct factor none = { UNSTRETCHED, 0 };
static struct factor by_smt, by_capacity[MAX_CPUS], by_cores[MAX_CPUS];	/* known from the start: one division for each */
static struct {
	struct factor smt, turbo, capacity, memory;
	bool known;
} latest[MAX_CPUS];	/* of the latest stretch */

static struct factor factor_of(uint64_t stretch)
{
	return (struct factor){ stretch, UNSTRETCHED - (uint64_t)UNSTRETCHED * UNSTRETCHED / stretch };
}

static uint64_t inverse(uint32_t speed)
{
	return (uint64_t)UNSTRETCHED * WHOLE / speed;
}

bool machine_open(int fd)
{
	const struct machine *given = mmap(NULL, sizeof(*given), PROT_READ, MAP_SHARED, fd, 0);
	unsigned int i;

	if (given == MAP_FAILED || given->version != MACHINE_VERSION)
		return false;
	machine = given;
	by_smt = factor_of(inverse(machine->smt));
	for (i = 0; i < MAX_CPUS; i++) {
		by_capacity[i] = factor_of(inverse(machine->capacity[i]));
		by_cores[i] = factor_of(inverse(machine->turbo[i]));
	}
	return true;
}

void speed_busy(unsigned int cpu, bool is)
{
	unsigned int core, node;

	if (!machine || busy[cpu] == is)
		return;
	busy[cpu] = is;
	core = machine->core[cpu];
	node = machine->node[cpu];
	if (is)
		busy_cores[node] += busy_threads[core]++ == 0;
	else
		busy_cores[node] -= --busy_threads[core] == 0;
}

static struct factor by_turbo(unsigned int node)
{
	unsigned int cores = busy_cores[node];

	if (!machine->turbo_steps || !cores)
		return none;
	return by_cores[(cores < machine->turbo_steps ? cores : machine->turbo_steps) - 1];
}

/* The share, in 1024ths, of a working set that finds room neither in its core's cache nor in the LLC with the others. */
static uint64_t outside(unsigned int cpu)
{
	uint64_t own = caches_working_set(cpu), all = 0, room;
	unsigned int other;

	if (!machine->llc_bytes || own <= machine->l2_bytes)
		return 0;
	for (other = 0; other < MAX_CPUS; other++)
		if (machine->llc[other] == machine->llc[cpu] && (busy[other] || other == cpu))
			all += caches_working_set(other);
	if (all <= machine->llc_bytes)
		return 0;
	room = (uint64_t)((unsigned __int128)own * machine->llc_bytes / all);
	if (room < machine->l2_bytes)
		room = machine->l2_bytes;
	return room >= own ? 0 : WHOLE - room * WHOLE / own;
}

/* What is outside comes as slowly as the machine says, and more slowly where all of a node want more than it delivers. */
static struct factor by_memory(unsigned int cpu)
{
	uint64_t own = outside(cpu), wanted = 0, slow;
	unsigned int other;

	if (!own)
		return none;
	slow = inverse(machine->beyond_llc);
	if (machine->node_mbps) {
		for (other = 0; other < MAX_CPUS; other++)
			if (machine->node[other] == machine->node[cpu] && (busy[other] || other == cpu))
				wanted += outside(other) * machine->memory_mbps / WHOLE;
		if (wanted > machine->node_mbps)
			slow = slow * wanted / machine->node_mbps;
	}
	return factor_of(UNSTRETCHED + own * (slow - UNSTRETCHED) / WHOLE);
}

uint64_t speed_stretch(unsigned int cpu)
{
	if (!machine)
		return UNSTRETCHED;
	latest[cpu].known = true;
	latest[cpu].smt = busy_threads[machine->core[cpu]] > 1 ? by_smt : none;
	latest[cpu].turbo = by_turbo(machine->node[cpu]);
	latest[cpu].capacity = by_capacity[cpu];
	latest[cpu].memory = by_memory(cpu);
	return ((latest[cpu].smt.stretch * latest[cpu].turbo.stretch >> 16) * latest[cpu].capacity.stretch >> 16) *
	       latest[cpu].memory.stretch >> 16;
}

/* What a factor took is the time that would be saved if it alone were off. */
void speed_ran(unsigned int cpu, uint64_t ps)
{
	if (!machine || !latest[cpu].known)
		return;
	paid.busy_ps += ps;
	paid.smt_ps += ps * latest[cpu].smt.lost / UNSTRETCHED;
	paid.turbo_ps += ps * latest[cpu].turbo.lost / UNSTRETCHED;
	paid.capacity_ps += ps * latest[cpu].capacity.lost / UNSTRETCHED;
	paid.memory_ps += ps * latest[cpu].memory.lost / UNSTRETCHED;
}

uint64_t speed_idle_exit(uint64_t idle_ps)
{
	uint64_t exit_ps = 0;
	unsigned int i;

	if (!machine)
		return 0;
	for (i = 0; i < machine->idle_states && idle_ps >= machine->idle[i].after_ps; i++)
		exit_ps = machine->idle[i].exit_ps;
	paid.idle_ps += exit_ps;
	paid.busy_ps += exit_ps;
	return exit_ps;
}
