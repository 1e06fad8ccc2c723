// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a task has lost of its data when it comes onto a CPU, and how long it takes to fetch that. First order:
 *
 * - A process has one working set, all its threads together. It grows as the process runs, up to its footprint.
 * - A cache of a core or of an LLC has lost as much of it as others have loaded there since the process left, and as much as
 *   the process has run elsewhere since, for what it wrote there is stale here. Nothing while another thread of it is there.
 * - What the core's cache has lost comes from the LLC; what the LLC has lost, from the memory of the process's node, which
 *   is where it was first seen. All of that is paid before the task's first instruction.
 *
 * Processes are told apart by their tgid. Of so many that two need one place in the table, the one that comes is cold.
 */
#include <stddef.h>
#include <string.h>

#include "machine.h"
#include "qemu_api.h"
#include "vclock.h"

#define PROCESSES 4096		/* a power of two */
#define PROBES 8
#define PS_PER_US 1000000ull

/* A process's view of a cache: what had been loaded there and how long it had run when it left. */
struct view {
	uint64_t loaded, ran_ps;
	uint32_t running;	/* threads that are there now */
	bool been;
};

struct process {
	int32_t tgid;
	bool used;
	uint8_t home;		/* node */
	uint64_t footprint, working_set, ran_ps;
	uint32_t running;
	struct view core[MAX_CPUS], llc[MAX_CPUS];
};

static struct process processes[PROCESSES];
static struct process *on[MAX_CPUS];	/* whose thread each CPU executes; NULL: the idle task, or not seen yet */
static uint64_t core_loaded[MAX_CPUS], llc_loaded[MAX_CPUS];	/* bytes, by core and by LLC */
static struct {
	uint64_t task;
	unsigned int cpu;
} last[PROCESSES];	/* on which CPU a task was; for counting moves alone */

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t bytes_in(uint64_t ps, uint64_t mbps)
{
	return (uint64_t)((unsigned __int128)ps * mbps / PS_PER_US);
}

static uint64_t time_for(uint64_t bytes, uint64_t mbps)
{
	return mbps ? bytes * PS_PER_US / mbps : 0;
}

void caches_ran(unsigned int cpu, uint64_t ps)
{
	struct process *p = machine ? on[cpu] : NULL;
	uint64_t grown;

	if (!p)
		return;
	p->ran_ps += ps;
	grown = min(bytes_in(ps, machine->memory_mbps), p->footprint - p->working_set);
	p->working_set += grown;
	core_loaded[machine->core[cpu]] += p->working_set > machine->l2_bytes ? bytes_in(ps, machine->llc_mbps) : grown;
	llc_loaded[machine->llc[cpu]] += p->working_set > machine->llc_bytes ? bytes_in(ps, machine->memory_mbps) : grown;
}

static struct process *process_of(int32_t tgid, bool kernel, unsigned int cpu)
{
	struct process *p = NULL;
	unsigned int i;

	for (i = 0; i < PROBES; i++) {
		p = &processes[((uint32_t)tgid + i) % PROCESSES];
		if (p->used && p->tgid == tgid)
			return p;
		if (!p->running)
			break;
	}
	if (p->running)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->used = true;
	p->tgid = tgid;
	p->home = machine->node[cpu];
	p->footprint = kernel ? machine->kernel_bytes : machine->user_bytes;
	return p;
}

/* Of `size` bytes of the working set that found room in a cache: how many are not there any more. */
static uint64_t lost(const struct process *p, const struct view *view, uint64_t loaded, uint64_t capacity)
{
	uint64_t size = min(p->working_set, capacity), gone;

	if (!size || view->running)
		return 0;
	if (!view->been)
		return size;
	gone = (uint64_t)((unsigned __int128)size * min(loaded - view->loaded, capacity) / capacity);
	return min(size, gone + bytes_in(p->ran_ps - view->ran_ps, machine->memory_mbps));
}

static uint64_t refill(struct process *p, unsigned int cpu)
{
	unsigned int core = machine->core[cpu], llc = machine->llc[cpu];
	uint64_t far = lost(p, &p->llc[llc], llc_loaded[llc], machine->llc_bytes);
	uint64_t near = lost(p, &p->core[core], core_loaded[core], machine->l2_bytes);
	bool remote = machine->node[cpu] != p->home;
	uint64_t far_ps = time_for(far, remote ? machine->remote_mbps : machine->memory_mbps);
	uint64_t near_ps = near > far ? time_for(near - far, machine->llc_mbps) : 0;	/* the others come with those */

	core_loaded[core] += near;
	llc_loaded[llc] += far;
	*(remote ? &paid.remote_ps : &paid.llc_ps) += far_ps;
	paid.l2_ps += near_ps;
	return far_ps + near_ps;
}

static void leave(struct process *p, unsigned int cpu)
{
	struct view *core = &p->core[machine->core[cpu]], *llc = &p->llc[machine->llc[cpu]];

	core->running--;
	llc->running--;
	p->running--;
	core->loaded = core_loaded[machine->core[cpu]];
	llc->loaded = llc_loaded[machine->llc[cpu]];
	core->ran_ps = llc->ran_ps = p->ran_ps;
}

static void come(struct process *p, unsigned int cpu)
{
	struct view *core = &p->core[machine->core[cpu]], *llc = &p->llc[machine->llc[cpu]];

	core->been = llc->been = true;
	core->running++;
	llc->running++;
	p->running++;
}

static void count_move(uint64_t task, unsigned int cpu)
{
	/* Fibonacci hashing (Knuth, vol. 3, 6.4): tasks lie at even distances, and many would meet in few places. */
	unsigned int slot = (unsigned int)((task * 0x9e3779b97f4a7c15ull) >> 32) % PROCESSES, was = last[slot].cpu;

	if (last[slot].task == task) {
		if (was == cpu)
			paid.stayed++;
		else if (machine->core[was] == machine->core[cpu])
			paid.same_core++;
		else if (machine->llc[was] == machine->llc[cpu])
			paid.same_llc++;
		else if (machine->node[was] == machine->node[cpu])
			paid.same_node++;
		else
			paid.other_node++;
	}
	last[slot].task = task;
	last[slot].cpu = cpu;
}

uint64_t caches_switched(unsigned int cpu, uint64_t task)
{
	void *vcpu = clock_cpu();
	uint64_t mm = 0, pays;
	int32_t tgid = 0;

	if (on[cpu])
		leave(on[cpu], cpu);
	on[cpu] = NULL;
	if (qemu.read_memory(vcpu, task + machine->tgid_at, &tgid, sizeof(tgid), false) ||
	    qemu.read_memory(vcpu, task + machine->mm_at, &mm, sizeof(mm), false)) {
		clock_refuse("the guest's task that comes cannot be read");
		return 0;
	}
	if (!tgid)	/* the idle task */
		return 0;
	count_move(task, cpu);
	paid.switch_ps += machine->switch_ps;
	on[cpu] = process_of(tgid, !mm, cpu);
	if (!on[cpu])
		return machine->switch_ps;
	pays = refill(on[cpu], cpu);
	come(on[cpu], cpu);
	return machine->switch_ps + pays;
}

void caches_footprint(unsigned int cpu, uint64_t bytes)
{
	struct process *p = machine ? on[cpu] : NULL;

	if (!p)
		return;
	p->footprint = bytes;
	p->working_set = min(p->working_set, bytes);
}

uint64_t caches_working_set(unsigned int cpu)
{
	return on[cpu] ? on[cpu]->working_set : 0;
}
