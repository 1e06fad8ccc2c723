// SPDX-License-Identifier: Apache-2.0
/*
 * wakeup: how long a task that sleeps and wakes must wait for a CPU while hogs want all of them.
 *
 * Sleepers sleep until a deadline a seeded think time away, note how late they run, and do a small piece of work. Hogs
 * compute without a pause, several per CPU. A run ends after a fixed number of wake-ups, so every run has as many
 * samples. The last line printed is one JSON object; the exit status is 1 when work went wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "samples.h"

struct worker {
	pthread_t thread;
	uint64_t index, first, result, blocks, done; /* done: blocks that were really executed */
	uint64_t *late_ns;
};

static uint64_t sleeper_count = 8, hogs_per_cpu = 2, wakeups = 200, work = 500, think_us = 5000, seed = 1, footprint_kib;
static pthread_barrier_t start;
static atomic_bool stop;

static void *sleeper(void *arg)
{
	struct worker *me = arg;
	uint64_t x = me->first;

	prctl(PR_SET_NAME, "wakeup-sleeper");
	prctl(PR_SET_TIMERSLACK, 1); /* the default, 50 us, would be part of every latency */
	pthread_barrier_wait(&start);
	for (uint64_t i = 0; i < wakeups; i++) {
		/* From a fifth to nine fifths of the mean: sleepers must not fall into step with one another. */
		uint64_t think_ns = think_us * (200 + seeded(seed, (me->index << 32) + i) % 1601);
		uint64_t deadline = now_ns() + think_ns;

		sleep_until(deadline);
		me->late_ns[i] = now_ns() - deadline;
		x = work_run(x, work);
		me->blocks += work;
		me->done += work_done(work);
	}
	me->result = x;
	return NULL;
}

static void *hog(void *arg)
{
	const uint64_t blocks_between_looks = 64;
	struct worker *me = arg;
	uint64_t x = me->first, done = 0;

	prctl(PR_SET_NAME, "wakeup-hog");
	pthread_barrier_wait(&start);
	for (; !atomic_load_explicit(&stop, memory_order_relaxed); done += blocks_between_looks)
		x = work_run(x, blocks_between_looks);
	me->blocks = done;
	me->done = done / blocks_between_looks * work_done(blocks_between_looks);
	me->result = x;
	return NULL;
}

static int report(const struct worker *workers, uint64_t hogs, uint64_t *late_ns, double wall_s)
{
	uint64_t count = sleeper_count * wakeups, hog_blocks = 0;
	int ok = 1;

	for (uint64_t i = 0; i < sleeper_count + hogs; i++) {
		ok &= workers[i].result == work_expected(workers[i].first, workers[i].done);
		hog_blocks += i < sleeper_count ? 0 : workers[i].blocks;
	}
	sort_samples(late_ns, count);
	printf("{\"wakeups\":%llu,\"sleepers\":%llu,\"hogs\":%llu,"
	       "\"p50_us\":%.3f,\"p90_us\":%.3f,\"p99_us\":%.3f,\"max_us\":%.3f,\"wall_ms\":%.3f,"
	       "\"hog_blocks_per_s\":%.1f,\"ok\":%s}\n", (unsigned long long)count,
	       (unsigned long long)sleeper_count, (unsigned long long)hogs, percentile_us(late_ns, count, 50),
	       percentile_us(late_ns, count, 90), percentile_us(late_ns, count, 99), percentile_us(late_ns, count, 100),
	       wall_s * 1e3, (double)hog_blocks / wall_s, ok ? "true" : "false");
	return ok ? 0 : 1;
}

/* Sleepers first, hogs after them; returns the seconds from the common start to the last sleeper's end, or < 0. */
static double run(struct worker *workers, uint64_t hogs, uint64_t *late_ns)
{
	uint64_t start_ns, end_ns;

	pthread_barrier_init(&start, NULL, (unsigned int)(sleeper_count + hogs + 1));
	for (uint64_t i = 0; i < sleeper_count + hogs; i++) {
		workers[i].index = i;
		workers[i].first = seeded(~seed, i);
		workers[i].late_ns = late_ns + (i < sleeper_count ? i * wakeups : 0);
		if (pthread_create(&workers[i].thread, NULL, i < sleeper_count ? sleeper : hog, &workers[i]))
			return -1;
	}
	pthread_barrier_wait(&start);
	start_ns = now_ns();
	for (uint64_t i = 0; i < sleeper_count; i++)
		pthread_join(workers[i].thread, NULL);
	end_ns = now_ns();
	atomic_store(&stop, true);
	for (uint64_t i = sleeper_count; i < sleeper_count + hogs; i++)
		pthread_join(workers[i].thread, NULL);
	return (double)(end_ns - start_ns) / 1e9;
}

int main(int argc, char **argv)
{
	const struct option_spec specs[] = {
		{"--sleepers", &sleeper_count, 1, 4096}, {"--hogs-per-cpu", &hogs_per_cpu, 0, 1024},
		{"--wakeups", &wakeups, 1, 1000000},     {"--work", &work, 0, 1ULL << 40},
		{"--think-us", &think_us, 1, 10000000},  {"--seed", &seed, 0, UINT64_MAX},
		{"--real", &work_real, 0, 1},
		{"--footprint-kib", &footprint_kib, 0, 128 << 10},
		{NULL, NULL, 0, 0},
	};
	struct worker *workers;
	uint64_t *late_ns, hogs;
	cpu_set_t cpus;
	double wall_s;

	read_options(argc, argv, specs);
	work_tell_footprint(footprint_kib);
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	hogs = hogs_per_cpu * (uint64_t)CPU_COUNT(&cpus);
	workers = calloc(sleeper_count + hogs, sizeof(*workers));
	late_ns = calloc(sleeper_count * wakeups, sizeof(*late_ns));
	wall_s = workers && late_ns ? run(workers, hogs, late_ns) : -1;
	if (wall_s < 0) {
		perror("wakeup: cannot start");
		return 1;
	}
	return report(workers, hogs, late_ns, wall_s);
}
