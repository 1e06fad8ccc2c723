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
#include "slot.h"
#include "vclock.h"
#include "vcpus.h"

#define WITHIN_CALL 2			 /* a call's return address less this is within the call, as QEMU counts */
#define LEAST_STEP_PS (1000 * PS_PER_NS) /* a guest that floods timers still gets on */

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

uint64_t clock_local_ps(void)
{
	return current->local_ps + slot_used_ps();
}

uint64_t clock_book(void)
{
	uint64_t now_ps = clock_local_ps();

	speed_ran(current->index, now_ps - booked_ps);
	caches_ran(current->index, now_ps - booked_ps);
	booked_ps = now_ps;
	return now_ps;
}

/* Books what the slot has used, and makes the next block start another. Returns what else happened. */
static uint64_t end_slot(void)
{
	uint64_t happened = slot_happened(), now_ps = clock_book();

	current->local_ps = now_ps;
	if (happened & HALTED) {
		current->halted = true;
		current->halted_ps = now_ps;
		speed_busy(current->index, false);
	}
	if (happened & YIELDED)
		cause_ps = max(cause_ps, current->local_ps);
	slot_close();
	return happened;
}

static void start_slot(void)
{
	slot_open(horizon_ps - current->local_ps);
	progress++;
}

static void main_turn(uint64_t at_ps)
{
	main_ps = max(main_ps, at_ps);
	cause_ps = max(cause_ps, main_ps);
	poked = false;
	baton_to_main();
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
	slot_check();
}

static void wake_up(void)
{
	current->halted = false;
	current->local_ps = max(current->local_ps, max(cause_ps, reached_ps));
	current->local_ps += speed_idle_exit(current->local_ps - current->halted_ps);
	speed_busy(current->index, true);
	horizon_ps = min(horizon_ps, current->local_ps + settings.quantum_ps);
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
		current = vcpu_of(cpu, max(cause_ps, reached_ps));
		happened = 0;
	}
	if (current->halted)
		wake_up();
	slot_stretch(speed_stretch(current->index));
	booked_ps = current->local_ps;
	if (machine)
		stats->paid = paid;
	stats->hash = fingerprint(stats->hash, clock_local_ps());
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
	slot_charge(tb, ps, slot_ends);
}

unsigned int clock_vcpu(void)
{
	return vcpu_number();
}

uint64_t clock_vcpu_now_ps(void)
{
	latest_ps = max(latest_ps, clock_local_ps());
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
	stats->awaits_host = 0;
}

bool clock_frozen(void)
{
	return frozen;
}

void clock_awaits_host(void)
{
	stats->awaits_host = frozen;
}

void clock_poke(void)
{
	if (!poked)
		slot_note(POKED);
	poked = true;
}

void clock_yield(void)
{
	if (!(slot_happened() & YIELDED))
		slot_note(YIELDED);
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
	stats->hash = stats->switch_hash = FINGERPRINT_OF_NOTHING;
	slot_make();
	qemu_on_vcpu(plugin_id, vcpu_made);
}
