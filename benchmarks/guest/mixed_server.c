// SPDX-License-Identifier: Apache-2.0
/* mixed: a server. Its requests are due at times of their own, and are served in that order, one at a time. */
#define _GNU_SOURCE 1
#include <sys/prctl.h>

#include "mixed.h"

static uint64_t own_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* The first to come sets it for all: who comes later is late for its first request. */
static uint64_t common_start(void)
{
	unsigned long long none = 0;

	atomic_compare_exchange_strong(&shared->start_ns, &none, now_ns());
	return atomic_load(&shared->start_ns);
}

/*
 * A request counts from the time at which it was due: waking up, the wait for a CPU and the requests before it are part of it.
 * Were a CPU always free, it would end its own CPU time after it was due, or after the one before: no schedule beats that.
 */
void *run_server(void *arg)
{
	struct server *me = arg;
	uint64_t due_ns, alone_end_ns = 0, x = seeded(~opts.seed, me->index), first = x, done = 0;

	prctl(PR_SET_NAME, "mixed-server");
	prctl(PR_SET_TIMERSLACK, 1); /* the default, 50 us, would be part of every latency */
	pthread_barrier_wait(&shared->start);
	due_ns = common_start();
	for (uint64_t i = 0; i < opts.requests; i++) {
		uint64_t drawn = seeded(opts.seed, (me->index << 32) + i), cpu_ns;
		uint64_t size = opts.request_work * (500 + (drawn >> 32) % 1001) / 1000;

		/* From a fifth to nine fifths of the mean gap: servers must not fall into step with one another. */
		due_ns += opts.gap_us * (200 + (drawn & UINT32_MAX) % 1601);
		if (now_ns() < due_ns)
			sleep_until(due_ns);
		cpu_ns = own_cpu_ns();
		x = work_run(x, size);
		done += work_done(size);
		cpu_ns = own_cpu_ns() - cpu_ns;
		me->took_ns[i] = now_ns() - due_ns;
		alone_end_ns = (alone_end_ns > due_ns ? alone_end_ns : due_ns) + cpu_ns;
		me->alone_ns[i] = alone_end_ns - due_ns;
	}
	me->ok = x == work_expected(first, done);
	return NULL;
}
