// SPDX-License-Identifier: Apache-2.0
/* schbench: a message thread. It wakes whoever waits for it, at once; or, paced, hands out requests at times of its own. */
#define _GNU_SOURCE 1
#include <sys/prctl.h>
#include <time.h>

#include "schbench.h"

/* One look at the clock for all whom it finds waiting: the time that it takes to wake the first counts for the last. */
static void answer(struct messenger *m)
{
	struct worker *w = atomic_exchange(&m->waiting, NULL);
	uint64_t sent_ns = now_ns();

	while (w) {
		struct worker *next = w->next; /* once it is woken, its link is its own again */

		if (opts.pipe_bytes)
			memset(w->pipe, (int)(sent_ns & 0x7f), opts.pipe_bytes);
		atomic_store(&w->posted_ns, sent_ns);
		futex_post(&w->futex);
		w = next;
	}
}

static void answer_at_once(struct messenger *m)
{
	while (!atomic_load(&stop)) {
		if (!atomic_load(&m->waiting))
			futex_await(&m->futex);
		answer(m);
	}
}

static void sleep_until(uint64_t deadline_ns)
{
	struct timespec t = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

/* To the next worker in turn that has room; a request that finds none is refused and counted. */
static void hand_out(struct messenger *m, uint64_t *turn, uint64_t due_ns)
{
	for (uint64_t tried = 0; tried < opts.workers; tried++) {
		struct worker *w = &m->workers[(*turn)++ % opts.workers];
		uint64_t sent = atomic_load(&w->sent);

		if (sent - atomic_load(&w->taken) >= PENDING_CAP)
			continue;
		w->due_ns[sent % PENDING_CAP] = due_ns;
		atomic_store(&w->sent, sent + 1);
		atomic_store(&w->posted_ns, now_ns());
		futex_post(&w->futex);
		return;
	}
	atomic_fetch_add(&stats.refused, 1);
}

/*
 * A request counts from the time at which it was due, so that a message thread that comes late makes it late too. The time
 * between two is from a fifth to nine fifths of the mean: threads must not fall into step.
 */
static void pace(struct messenger *m)
{
	uint64_t due_ns = now_ns(), count = 0, turn = 0;

	prctl(PR_SET_TIMERSLACK, 1); /* the default, 50 us, would be part of every latency */
	while (!atomic_load(&stop)) {
		uint64_t mean_ns = NS_PER_S * opts.messengers / atomic_load(&rps_goal);

		due_ns += mean_ns / 1000 * (200 + seeded(opts.seed, (m->index << 40) + count++) % 1601);
		if (now_ns() < due_ns)
			sleep_until(due_ns);
		hand_out(m, &turn, due_ns);
	}
}

void *run_messenger(void *arg)
{
	struct messenger *m = arg;

	prctl(PR_SET_NAME, "schbench-msg");
	pthread_barrier_wait(&start);
	if (atomic_load(&rps_goal))
		pace(m);
	else
		answer_at_once(m);
	add_own_delay(&stats.message_delay_ns, &stats.message_slices);
	return NULL;
}
