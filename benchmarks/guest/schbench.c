// SPDX-License-Identifier: Apache-2.0
/*
 * schbench: the model of Chris Mason's benchmark of that name, written anew: message threads that wake workers, workers
 * that think and compute. Options have its letters, figures its names.
 *
 * What differs: think times and paced requests are drawn by seed, a paced request counts from when it was due, rates are
 * sampled ten times a second, and a run of fractions of a second can be asked for. The last line printed is one JSON object;
 * the exit status is 1 when work went wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "schbench.h"

#define SAMPLE_MS 100
#define FIRST_RPS 100

struct options opts = {.messengers = 1, .runtime_ms = 30000, .footprint_kb = 256, .operations = 5, .think_us = 100,
		       .seed = 1, .spread = 100};
struct stats stats;
atomic_bool stop;
atomic_ullong rps_goal;
pthread_barrier_t start;

static int cpu_count(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	return CPU_COUNT(&cpus);
}

/* -L alone has no value. */
static void read_all_options(int argc, char **argv)
{
	uint64_t runtime_s = 0, warmup_s = 0;
	const struct option_spec specs[] = {
		{"-m", &opts.messengers, 1, 1024},      {"-t", &opts.workers, 1, 4096},
		{"-r", &runtime_s, 1, 86400},           {"-w", &warmup_s, 0, 86400},
		{"-F", &opts.footprint_kb, 1, 1 << 20}, {"-n", &opts.operations, 0, 1000000},
		{"-s", &opts.think_us, 0, 999999},      {"-R", &opts.rps, 0, 100000000},
		{"-A", &opts.auto_percent, 0, 100},     {"-p", &opts.pipe_bytes, 0, 1 << 20},
		{"--runtime-ms", &opts.runtime_ms, 1, 86400000},
		{"--seed", &opts.seed, 0, UINT64_MAX},  {"--real", &work_real, 0, 1},
		{"--user-ps", &opts.user_ps, 0, 100000}, {"--spread", &opts.spread, 0, 100},
		{NULL, NULL, 0, 0},
	};
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-L"))
			argv[kept++] = argv[i];
		else
			opts.no_locking = true;
	}
	read_options(kept, argv, specs);
	work_tell_footprint(opts.footprint_kb);
	opts.runtime_ms = runtime_s ? runtime_s * 1000 : opts.runtime_ms;
	opts.warmup_ms = warmup_s * 1000;
	if (!opts.workers)
		opts.workers = ((uint64_t)cpu_count() + opts.messengers - 1) / opts.messengers;
	atomic_store(&rps_goal, opts.rps ? opts.rps : opts.auto_percent ? FIRST_RPS : 0);
}

static uint64_t cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* Towards the wanted share of all CPUs, by at most a factor of two at a time. */
static void adjust_rate(uint64_t used_ns, uint64_t wall_ns)
{
	double busy = 100.0 * (double)used_ns / (double)wall_ns / cpu_count();
	double factor = busy > 0 ? (double)opts.auto_percent / busy : 2;

	factor = factor > 2 ? 2 : factor < 0.5 ? 0.5 : factor;
	atomic_store(&rps_goal, (uint64_t)((double)atomic_load(&rps_goal) * factor) + 1);
}

/* Sleeps `ms` in steps, and notes the rate of each; returns how many it noted. */
static uint64_t watch(uint64_t ms, double *rps)
{
	uint64_t end_ns = now_ns() + ms * NS_PER_MS, count = 0;

	while (now_ns() < end_ns) {
		uint64_t from_ns = now_ns(), before = atomic_load(&stats.requests), used_ns = cpu_ns(), wall_ns;
		uint64_t left_us = (end_ns - from_ns) / 1000 + 1;

		usleep((useconds_t)(left_us < SAMPLE_MS * 1000 ? left_us : SAMPLE_MS * 1000));
		wall_ns = now_ns() - from_ns;
		/* A last step that is much shorter than the others would be a sample of chance. */
		if (wall_ns * 2 > SAMPLE_MS * NS_PER_MS || !count)
			rps[count++] = (double)(atomic_load(&stats.requests) - before) * 1e9 / (double)wall_ns;
		if (opts.auto_percent)
			adjust_rate(cpu_ns() - used_ns, wall_ns);
	}
	return count;
}

static bool start_all(struct messenger *messengers, struct worker *workers)
{
	pthread_barrier_init(&start, NULL, (unsigned int)(opts.messengers * (opts.workers + 1) + 1));
	for (uint64_t i = 0; i < opts.messengers * opts.workers; i++) {
		workers[i].index = i;
		workers[i].of = &messengers[i / opts.workers];
		if (!prepare_worker(&workers[i]) || pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]))
			return false;
	}
	for (uint64_t i = 0; i < opts.messengers; i++) {
		messengers[i].index = i;
		messengers[i].workers = &workers[i * opts.workers];
		if (pthread_create(&messengers[i].thread, NULL, run_messenger, &messengers[i]))
			return false;
	}
	pthread_barrier_wait(&start);
	return true;
}

static void stop_all(struct messenger *messengers, struct worker *workers)
{
	uint64_t now = now_ns();

	atomic_store(&stop, true);
	/* A request that nobody has taken yet counts with its age: a policy must not gain by leaving it lie. */
	for (uint64_t i = 0; i < opts.messengers * opts.workers; i++)
		for (uint64_t at = atomic_load(&workers[i].taken); at < atomic_load(&workers[i].sent); at++)
			histogram_add(stats.request, now - workers[i].due_ns[at % PENDING_CAP]);
	for (uint64_t i = 0; i < opts.messengers; i++)
		futex_post(&messengers[i].futex);
	for (uint64_t i = 0; i < opts.messengers; i++)
		pthread_join(messengers[i].thread, NULL);
	for (uint64_t i = 0; i < opts.messengers * opts.workers; i++)
		futex_post(&workers[i].futex);
	for (uint64_t i = 0; i < opts.messengers * opts.workers; i++)
		pthread_join(workers[i].thread, NULL);
}

static void forget(void)
{
	histogram_clear(stats.wakeup);
	histogram_clear(stats.request);
	atomic_store(&stats.requests, 0);
	atomic_store(&stats.refused, 0);
	atomic_store(&stats.transferred, 0);
}

int main(int argc, char **argv)
{
	struct messenger *messengers;
	struct worker *workers;
	uint64_t count, began_ns;
	double *rps, seconds;
	bool ok;

	read_all_options(argc, argv);
	stats.wakeup = histogram_new();
	stats.request = histogram_new();
	messengers = calloc(opts.messengers, sizeof(*messengers));
	workers = calloc(opts.messengers * opts.workers, sizeof(*workers));
	rps = calloc((opts.runtime_ms + opts.warmup_ms) / SAMPLE_MS + 2, sizeof(*rps));
	if (!stats.wakeup || !stats.request || !messengers || !workers || !rps || !start_all(messengers, workers)) {
		perror("schbench: cannot start");
		return 1;
	}
	if (opts.warmup_ms) {
		watch(opts.warmup_ms, rps);
		forget();
	}
	began_ns = now_ns();
	count = watch(opts.runtime_ms, rps);
	seconds = (double)(now_ns() - began_ns) / 1e9;
	stop_all(messengers, workers);
	ok = !stats.wrong && (stats.requests || stats.transferred);
	report(rps, count, seconds, ok);
	return ok ? 0 : 1;
}
