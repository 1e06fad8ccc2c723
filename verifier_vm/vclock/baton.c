// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The baton between QEMU's main thread and its vCPU thread: whoever has it acts, the other waits. Each place where one
 * of them would block in QEMU hands it over, so which of the two acts when is never up to the host's scheduler.
 *
 * The main thread gives it away in ppoll() and gets it back when virtual time has come to what it waits for, or when a
 * vCPU gave it work. The vCPU thread gives it away at those two moments, and in pthread_cond_wait() when all vCPUs have
 * halted.
 * A main thread that waits for a condition variable (to stop the vCPUs, say) lets the vCPU thread run meanwhile.
 *
 * Every wait is bounded, by progress. One that is given up is counted: that run is no longer deterministic and must not be scored.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "baton.h"
#include "vclock.h"

#define WAIT_LIMIT_S 20
#define PROGRESS_NS 1000000	/* more than what waking up to look costs */
/* The main thread also looks outside (QMP, the port) this often; by virtual time, so that the guest cannot tell. */
#define LOOK_OUTSIDE_PS (10 * 1000000 * PS_PER_NS)

enum { WITH_MAIN, WITH_VCPUS };

_Thread_local enum thread_role role;
static atomic_int holder = WITH_MAIN;
static atomic_bool vcpus_idle;		/* every vCPU has halted, and nobody has woken one */
static atomic_bool main_waits;		/* for a condition variable: the vCPU thread may act meanwhile */
static atomic_uint changes;		/* of the three above; what the threads sleep on */
static pthread_cond_t *vcpus_wait_for;

static void tell(void)
{
	atomic_fetch_add(&changes, 1);
	syscall(SYS_futex, &changes, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void hand_to(int whom)
{
	atomic_store(&holder, whom);
	tell();
}

static bool may_act(int whom)
{
	return atomic_load(&holder) == whom && !(whom == WITH_VCPUS && atomic_load(&vcpus_idle));
}

static uint64_t cpu_time_ns(void)
{
	struct timespec used;

	syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &used);	/* past our own clock_gettime */
	return used.tv_sec * 1000000000ull + used.tv_nsec;
}

/*
 * Whether a wait is over for good: the limit has passed, and this process has had no CPU time in it. On a busy host the other
 * thread may take minutes for what it is at; one that waits for us takes none.
 */
static bool hangs(uint64_t *used_ns)
{
	uint64_t before_ns = *used_ns;

	*used_ns = cpu_time_ns();
	return *used_ns - before_ns < PROGRESS_NS;
}

static void await(int whom)
{
	const struct timespec limit = { .tv_sec = WAIT_LIMIT_S };
	uint64_t used_ns = cpu_time_ns();

	for (;;) {
		unsigned int seen = atomic_load(&changes);

		if (may_act(whom))
			return;
		if (!syscall(SYS_futex, &changes, FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0) || errno != ETIMEDOUT)
			continue;
		/* A guest without anything to do may wait for the outside world as long as it likes. */
		if ((whom != WITH_VCPUS || !atomic_load(&vcpus_idle)) && hangs(&used_ns)) {
			stats->fallbacks++;
			atomic_store(&holder, whom);
		}
	}
}

bool baton_taken(void)
{
	return atomic_load(&holder) == WITH_MAIN;
}

void baton_to_main(void)
{
	hand_to(WITH_MAIN);
	await(WITH_VCPUS);
}

static void vcpus_go(uint64_t due_ps)
{
	clock_main_due(due_ps);
	hand_to(WITH_VCPUS);
	await(WITH_MAIN);
}

/*
 * The next moment to look outside. All lie on one grid: the main thread also acts when another of QEMU's threads or the host
 * woke it, and a look counted from then would bring that moment, which is the host's, into the guest's order of things.
 */
static uint64_t next_look_ps(void)
{
	return (clock_main_now_ps() / LOOK_OUTSIDE_PS + 1) * LOOK_OUTSIDE_PS;
}

static uint64_t when_due(const struct timespec *timeout)
{
	if (!timeout)
		return NEVER;
	return clock_main_now_ps() + ((uint64_t)timeout->tv_sec * 1000000000ull + (uint64_t)timeout->tv_nsec) * PS_PER_NS;
}

int baton_ppoll(void *fds, unsigned long n, const struct timespec *timeout, const void *mask)
{
	static const struct timespec at_once;
	uint64_t due_ps = when_due(timeout), look_ps;
	int ready;

	for (;;) {
		ready = real_ppoll(fds, n, &at_once, mask);
		if (ready || clock_main_now_ps() >= due_ps)
			return ready;
		if (!atomic_load(&vcpus_idle)) {
			look_ps = next_look_ps();
			vcpus_go(due_ps < look_ps ? due_ps : look_ps);
		} else if (due_ps != NEVER && !clock_frozen()) {
			clock_jump_to(due_ps);
		} else {
			clock_awaits_host();
			return real_ppoll(fds, n, NULL, mask);	/* only the outside world can go on from here */
		}
	}
}

void baton_vcpus_idle(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	clock_idle();
	vcpus_wait_for = cond;
	atomic_store(&vcpus_idle, true);
	hand_to(WITH_MAIN);	/* before the main thread can get the mutex, wake a vCPU and hand it back */
	pthread_mutex_unlock(mutex);
	await(WITH_VCPUS);
	pthread_mutex_lock(mutex);
}

void baton_woken(const pthread_cond_t *cond)
{
	if (cond != vcpus_wait_for || !atomic_exchange(&vcpus_idle, false))
		return;
	if (atomic_load(&main_waits))
		hand_to(WITH_VCPUS);
}

void baton_main_waits(void)
{
	clock_main_due(next_look_ps());
	atomic_store(&main_waits, true);
	hand_to(WITH_VCPUS);
}

void baton_main_goes_on(void)
{
	atomic_store(&main_waits, false);
	atomic_store(&holder, WITH_MAIN);	/* the vCPU thread sees it at its next block that uses up a slot */
}
