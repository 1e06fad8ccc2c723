// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` whose tasks sleep and wake: latency, bursts after long sleeps, idle CPUs, convoys. */
#include "adversary.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* W2: two that hand a byte to and fro, each burning ping_us, and a probe that is due every probe_ms, among hogs=N. */
static struct samples probe_late;
static int to[2][2];

static void probe(struct worker *w)
{
	uint64_t due_ns, period = option("probe_ms", 5) * MS;
	struct timespec due;

	w->state = (w->state ? w->state : now_ns()) + period;
	if (w->state < now_ns())	/* it is late by more than a period: what it missed is over */
		w->state = now_ns() + period;
	due_ns = w->state;
	due = (struct timespec){ .tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000 };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	sample(&probe_late, now_ns() - due_ns);
	burn(w, 50);
}

static void ping(struct worker *w)
{
	int me = w->index % 2;
	char byte = 0;

	if (me == 0 && write(to[1][1], &byte, 1) != 1)
		figure("pipe_errors", 1);
	if (read(to[me][0], &byte, 1) != 1)
		figure("pipe_errors", 1);
	burn(w, option("ping_us", 100));
	if (me == 1 && write(to[0][1], &byte, 1) != 1)
		figure("pipe_errors", 1);
}

static void w2(void)
{
	if (pipe(to[0]) || pipe(to[1]))
		perror("adversary: pipe");
	add("W2-hog", hog, option("hogs", 2 * cpus));
	add("W2-ping", ping, 2);
	add("W2-probe", probe, 1);
}

static void w2_told(void)
{
	report_samples(&probe_late, "late");
}

/* W7: as many hogs as CPUs, and sleepers=N, twice as many, that come back after nap_ms and burn for as long. */
static void burst_after_nap(struct worker *w)
{
	uint64_t nap = option("nap_ms", 2800) * MS;

	if (w->state == 0) {
		w->state = 1;
		rest(w, nap);
		return;
	}
	burn(w, 200);
}

static void w7(void)
{
	add("W7-hog", hog, cpus);
	add("W7-sleeper", burst_after_nap, option("sleepers", 2 * cpus));
}

/*
 * W10: no more tasks than CPUs, most of which wake all the time, and one that goes from CPU to CPU: who wakes where it stands
 * must go elsewhere at once. With a CPU for each, all waiting is time in which a CPU idled while a task was queued.
 */
static void sparse(struct worker *w)
{
	rest(w, 3 * MS + draw(w) % (6 * MS));
	burn(w, 1000);
}

static void walker(struct worker *w)
{
	bind_to(0, w->progress % cpus);
	burn(w, 40000);
}

static void w10(void)
{
	add("W10-walker", walker, 1);
	if (cpus > 1)
		add("W10-sparse", sparse, cpus - 1);
}

/* W20: threads=N that all want one lock. */
static pthread_mutex_t convoy = PTHREAD_MUTEX_INITIALIZER;

/* Who waits for a lock is not runnable, and a lock is no queue: that is no gap of the scheduler's. */
static void in_convoy(struct worker *w)
{
	w->rests_until_ns = UINT64_MAX;
	pthread_mutex_lock(&convoy);
	w->rests_until_ns = 1;
	burn(w, option("convoy_us", 300));
	pthread_mutex_unlock(&convoy);
	burn(w, 200);
}

static void w20(void)
{
	add("W20-convoy", in_convoy, option("convoy", 3 * cpus));
}

const struct workload wake_workloads[] = {
	{ "W2", w2, w2_told }, { "W7", w7, NULL }, { "W10", w10, NULL }, { "W20", w20, NULL }, {},
};
