// SPDX-License-Identifier: Apache-2.0
/*
 * mixed: how long requests take on a host that does other things as well: jobs that never pause, short processes as of a
 * build, and every so often the burst of a cron.
 *
 * Each server gets a fixed number of requests, due at seeded times whether or not the last one is done; the run ends with
 * the last of them. The last line printed is one JSON object; the exit status is 1 when work went wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "mixed.h"

struct options opts = {
	.servers = 8, .requests = 250, .request_work = 3000, .gap_us = 6000, .batch_per_cpu = 2, .build_work = 24000,
	.cron_jobs = 6, .cron_work = 16000, .seed = 1,
};
struct shared *shared;

static uint64_t footprint_kib;

static int report(uint64_t *took_ns, uint64_t *alone_ns, double wall_s, bool ok)
{
	uint64_t count = opts.servers * opts.requests, bursts = shared->cron_bursts;

	sort_samples(took_ns, count);
	sort_samples(alone_ns, count);
	printf("{\"servers\":%llu,\"requests\":%llu,\"request_p50_us\":%.3f,\"request_p90_us\":%.3f,\"request_p99_us\":%.3f,"
	       "\"request_max_us\":%.3f,\"bound_us\":%.3f,\"requests_per_s\":%.3f,", (unsigned long long)opts.servers,
	       (unsigned long long)count, percentile_us(took_ns, count, 50), percentile_us(took_ns, count, 90),
	       percentile_us(took_ns, count, 99), percentile_us(took_ns, count, 100), percentile_us(alone_ns, count, 99),
	       (double)count / wall_s);
	printf("\"batch_blocks_per_s\":%.1f,\"builds_per_s\":%.3f,\"cron_bursts\":%llu,\"cron_mean_ms\":%.3f,\"wall_ms\":%.3f,"
	       "\"ok\":%s}\n", (double)shared->batch_blocks / wall_s, (double)shared->builds / wall_s,
	       (unsigned long long)bursts, bursts ? (double)shared->cron_ns / (double)bursts / 1e6 : 0.0, wall_s * 1e3,
	       ok ? "true" : "false");
	return ok ? 0 : 1;
}

/* Whether memory for all processes is there, and what they meet at. */
static bool prepare(uint64_t cpus)
{
	pthread_barrierattr_t attributes;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared != MAP_FAILED && !sem_init(&shared->stopped, 1, 0) && !pthread_barrierattr_init(&attributes) &&
	       !pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) &&
	       !pthread_barrier_init(&shared->start, &attributes, (unsigned int)(opts.servers + background_count(cpus)));
}

static bool await_background(void)
{
	bool ok = true;
	int status;

	while (wait(&status) > 0)
		ok &= status == 0;
	return ok;
}

/* Processes before threads, for fork copies only the thread that calls it. Returns the seconds that it took, or < 0. */
static double run(struct server *servers, uint64_t cpus, bool *ok)
{
	uint64_t end_ns;

	if (!prepare(cpus) || start_background(cpus))
		return -1;
	for (uint64_t i = 0; i < opts.servers; i++)
		if (pthread_create(&servers[i].thread, NULL, run_server, &servers[i]))
			return -1;
	*ok = true;
	for (uint64_t i = 0; i < opts.servers; i++) {
		pthread_join(servers[i].thread, NULL);
		*ok &= servers[i].ok;
	}
	end_ns = now_ns();
	atomic_store(&shared->stop, true);
	sem_post(&shared->stopped);
	*ok &= await_background();
	return (double)(end_ns - shared->start_ns) / 1e9;
}

static int measure(uint64_t cpus)
{
	struct server *servers = calloc(opts.servers, sizeof(*servers));
	uint64_t count = opts.servers * opts.requests;
	uint64_t *took_ns = calloc(2 * count, sizeof(*took_ns));
	double wall_s = -1;
	bool ok;

	for (uint64_t i = 0; servers && took_ns && i < opts.servers; i++)
		servers[i] = (struct server){.index = i, .took_ns = took_ns + i * opts.requests,
					     .alone_ns = took_ns + count + i * opts.requests};
	if (servers && took_ns)
		wall_s = run(servers, cpus, &ok);
	if (wall_s < 0) {
		perror("mixed: cannot start");
		return 1;
	}
	return report(took_ns, took_ns + count, wall_s, ok);
}

int main(int argc, char **argv)
{
	const struct option_spec specs[] = {
		{"--servers", &opts.servers, 1, 1024},        {"--requests", &opts.requests, 1, 1000000},
		{"--request-work", &opts.request_work, 0, 1ULL << 40}, {"--gap-us", &opts.gap_us, 1, 10000000},
		{"--batch-per-cpu", &opts.batch_per_cpu, 0, 64},
		{"--builds", &opts.builds, 0, 1024},          {"--build-work", &opts.build_work, 0, 1ULL << 40},
		{"--cron-ms", &opts.cron_ms, 0, 3600000},     {"--cron-jobs", &opts.cron_jobs, 1, 1024},
		{"--cron-work", &opts.cron_work, 0, 1ULL << 40},
		{"--seed", &opts.seed, 0, UINT64_MAX},        {"--real", &work_real, 0, 1},
		{"--footprint-kib", &footprint_kib, 0, 128 << 10},
		{NULL, NULL, 0, 0},
	};
	cpu_set_t cpus;

	read_options(argc, argv, specs);
	work_tell_footprint(footprint_kib);
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	return measure((uint64_t)CPU_COUNT(&cpus));
}
