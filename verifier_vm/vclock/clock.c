// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The time of each vCPU: the instructions it has executed, charged block by block (blocks.c).
 *
 * QEMU executes the vCPUs in a ring, one at a time. Each runs up to a common horizon and then leaves; once every
 * vCPU that is not halted has reached it, the horizon moves on by a quantum, or to the moment at which the main thread
 * is due, which then acts. So vCPUs are never further apart than a quantum, and the order is a function of the guest.
 */
#include <stddef.h>

#include "qemu_api.h"
#include "vclock.h"

/*
 * The slot's counter: picoseconds in the low bits, set so that the slot is used up when they reach LIMIT; above them,
 * what else happened in it. Any of that makes the counter reach LIMIT, too, and so calls slot_ends() at the next block.
 * QEMU takes its big lock between two vCPUs, so that going on to another one happens, too.
 */
#define LIMIT (1ull << 48)
#define YIELDED (1ull << 50)	/* may have sent an interrupt: its receiver must get a look before the sender goes on */
#define HALTED CHARGE_HALT
#define POKED (1ull << 54)
#define PS_BITS (YIELDED - 1)

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull
#define WITHIN_CALL 2			 /* a call's return address less this is within the call, as QEMU counts */
#define LEAST_STEP_PS (1000 * PS_PER_NS) /* a guest that floods timers still gets on */

struct vcpu {
	void *cpu;
	unsigned int index;	/* QEMU's, and the guest's */
	uint64_t local_ps;	/* when its slot began; while it does not run, its time */
	bool halted;
	uint64_t halted_ps;	/* when it last did */
	uint64_t left_at;	/* `progress` when it last gave way to the others */
};

static struct vcpu vcpus[MAX_VCPUS + 1];	/* in the order in which they were first seen; the last is always free */
static struct vcpu *current = vcpus;	/* whose slot it is */
static unsigned int vcpu_count;
static uint64_t *counter, slot_start = LIMIT;
static uint64_t stretch = UNSTRETCHED;	/* of the time that the slot's blocks are charged (speed.c) */
static uint64_t booked_ps;	/* the time of the current vCPU up to which it was */
static uint64_t horizon_ps, due_ps, main_ps;
static uint64_t reached_ps;	/* the horizon before: no vCPU that is not halted is behind it */
static uint64_t cause_ps;	/* the latest event that may have woken a halted vCPU */
static uint64_t latest_ps;	/* the latest time that anybody was told */
static uint64_t progress = 1;	/* slots in which a vCPU below the horizon ran */
static bool poked;
static bool frozen;	/* an idle guest waits for the host, and its time stands still */
static void **current_cpu;	/* of the vCPU thread */

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t stretched(uint64_t ps)
{
	return stretch == UNSTRETCHED ? ps : (uint64_t)((unsigned __int128)ps * stretch / UNSTRETCHED);
}

static uint64_t unstretched(uint64_t ps)
{
	return stretch == UNSTRETCHED ? ps : (uint64_t)((unsigned __int128)ps * UNSTRETCHED / stretch) + 1;
}

static uint64_t local_now_ps(void)
{
	return current->local_ps + stretched((*counter & PS_BITS) - slot_start);
}

/* Hands the time that the slot has used so far to those who model the machine. */
static void book(uint64_t now_ps)
{
	speed_ran(current->index, now_ps - booked_ps);
	caches_ran(current->index, now_ps - booked_ps);
	booked_ps = now_ps;
}

/* Books what the slot has used, and makes the next block start another. Returns what else happened. */
static uint64_t end_slot(void)
{
	uint64_t happened = *counter & ~PS_BITS, now_ps = local_now_ps();

	book(now_ps);
	current->local_ps = now_ps;
	if (happened & HALTED) {
		current->halted = true;
		current->halted_ps = now_ps;
		speed_busy(current->index, false);
	}
	if (happened & YIELDED)
		cause_ps = max(cause_ps, current->local_ps);
	*counter = slot_start = LIMIT;
	return happened;
}

static void start_slot(void)
{
	*counter = slot_start = LIMIT - unstretched(horizon_ps - current->local_ps);
	progress++;
}

static void main_turn(uint64_t at_ps)
{
	main_ps = max(main_ps, at_ps);
	cause_ps = max(cause_ps, main_ps);
	poked = false;
	baton_to_main();
}

/* Whether another vCPU that is not halted is before `ps`; one that was woken and not yet seen is not counted. */
static bool another_before(uint64_t ps)
{
	const struct vcpu *v;

	for (v = vcpus; v->cpu; v++)
		if (v != current && !v->halted && v->local_ps < ps)
			return true;
	return false;
}

/* Whether an interrupt may wake a vCPU: one that has halted, or one that has not begun. */
static bool another_sleeps(void)
{
	const struct vcpu *v;

	for (v = vcpus; v->cpu; v++)
		if (v != current && v->halted)
			return true;
	return v < vcpus + vcpu_count;
}

/* With the others halted there is nobody to keep in step with, until the main thread is due or one is woken. */
static void move_horizon(void)
{
	if (horizon_ps >= due_ps)
		main_turn(due_ps);
	reached_ps = horizon_ps;
	horizon_ps = max(another_before(NEVER) ? min(horizon_ps + settings.quantum_ps, due_ps) : due_ps,
			 horizon_ps + LEAST_STEP_PS);
	placement_look();
	counter_check();
}

static void wake_up(void)
{
	current->halted = false;
	current->local_ps = max(current->local_ps, max(cause_ps, reached_ps));
	current->local_ps += speed_idle_exit(current->local_ps - current->halted_ps);
	speed_busy(current->index, true);
	horizon_ps = min(horizon_ps, current->local_ps + settings.quantum_ps);
}

/* FNV-1a (Fowler, Noll, Vo) over which vCPU and when: for comparing runs, not against forgery. */
static uint64_t hashed(uint64_t hash)
{
	uint64_t word[2] = { (uint64_t)(current - vcpus), local_now_ps() };
	const unsigned char *byte = (const unsigned char *)word;
	size_t i;

	for (i = 0; i < sizeof(word); i++)
		hash = (hash ^ byte[i]) * FNV_PRIME;
	return hash;
}

static struct vcpu *find(void *cpu)
{
	struct vcpu *v = vcpus;

	while (v->cpu != cpu) {
		if (!v->cpu) {
			v->cpu = cpu;
			v->index = counter_index(cpu);
			speed_busy(v->index, true);
			v->local_ps = max(cause_ps, reached_ps);
		} else {
			v++;
		}
	}
	return v;
}

/*
 * The slot is used up, or something happened in it, or QEMU went on to another vCPU. The block that begins at the host's
 * `pc` is executed then, unless the vCPU is ahead of others: QEMU goes on to the next whenever one spins, and a block of each
 * that it comes to would take them further ahead, by as much as their blocks are charged.
 */
static void slot_ends(unsigned int unreliable, void *nothing)
{
	uintptr_t pc = (uintptr_t)__builtin_return_address(0) - WITHIN_CALL;
	uint64_t happened = end_slot();
	void *cpu = *current_cpu;
	bool alone, before = false, after;

	(void)unreliable;	/* the vCPU for which the block was translated */
	(void)nothing;
	if (current->cpu != cpu) {
		current = find(cpu);
		happened = 0;
	}
	if (current->halted)
		wake_up();
	stretch = speed_stretch(current->index);
	booked_ps = current->local_ps;
	if (machine)
		stats->paid = paid;
	stats->hash = hashed(stats->hash);
	stats->slots++;
	stats->virtual_ns = current->local_ps / PS_PER_NS;
	if (poked || baton_taken()) {
		main_turn(current->local_ps);
		/* It may be due earlier now than when the horizon was set. */
		horizon_ps = min(horizon_ps, max(due_ps, current->local_ps + LEAST_STEP_PS));
	}
	alone = current->left_at == progress;	/* it left before, and nobody has run since */
	after = !alone && happened & YIELDED && another_sleeps();
	if (current->local_ps >= horizon_ps) {
		before = !alone && another_before(horizon_ps);
		if (!before) {
			while (current->local_ps >= horizon_ps)
				move_horizon();
			before = another_before(current->local_ps);
		}
	}
	if (before || after) {
		current->left_at = progress;
		qemu.cpu_exit(cpu);
	}
	if (before)
		qemu.leave_before(cpu, pc);
	if (!after)
		start_slot();
}

void clock_charge(struct qemu_plugin_tb *tb, uint64_t ps)
{
	counter_add(tb, ps, LIMIT, slot_ends);
}

/* The task that comes pays before its first instruction. */
static void pay_for_switch(void)
{
	book(local_now_ps());
	*counter += unstretched(caches_switched(current->index, registers_rsi()));
}

void clock_footprint(unsigned int unused, void *bytes)
{
	(void)unused;
	book(local_now_ps());
	caches_footprint(current->index, (uintptr_t)bytes);
}

void clock_switched(unsigned int unused, void *nothing)
{
	(void)unused;
	(void)nothing;
	if (machine)
		pay_for_switch();
	stats->switch_hash = hashed(stats->switch_hash);
	stats->switches++;
	executed_switched();
}

unsigned int clock_vcpu(void)
{
	return (unsigned int)(current - vcpus);
}

uint64_t clock_vcpu_now_ps(void)
{
	latest_ps = max(latest_ps, local_now_ps());
	return latest_ps;
}

uint64_t clock_main_now_ps(void)
{
	return main_ps;
}

void clock_main_due(uint64_t ps)
{
	due_ps = ps;
}

void clock_idle(void)
{
	end_slot();
	if (poked)
		main_ps = max(main_ps, current->local_ps);
	poked = false;
}

void clock_jump_to(uint64_t ps)
{
	main_ps = max(main_ps, ps);
	cause_ps = max(cause_ps, main_ps);
	reached_ps = horizon_ps = main_ps;	/* nobody runs: an earlier horizon, set for a vCPU alone, is void */
	stats->virtual_ns = main_ps / PS_PER_NS;
}

void clock_freeze(unsigned int unused, void *on)
{
	(void)unused;
	frozen = on != NULL;
}

bool clock_frozen(void)
{
	return frozen;
}

void clock_poke(void)
{
	if (!poked)
		*counter += POKED;
	poked = true;
}

void clock_yield(void)
{
	if (!(*counter & YIELDED))
		*counter += YIELDED;
}

void *clock_cpu(void)
{
	return *current_cpu;
}

/* On the vCPU thread, once for each vCPU. */
static void vcpu_made(unsigned int index)
{
	vcpu_count = index + 1;
	current_cpu = qemu.current_cpu();
	if (machine && !index)
		registers_find();
}

void clock_install(uint64_t plugin_id)
{
	stats->hash = stats->switch_hash = FNV_OFFSET;
	counter = counter_make();
	*counter = LIMIT;
	qemu_on_vcpu(plugin_id, vcpu_made);
}
