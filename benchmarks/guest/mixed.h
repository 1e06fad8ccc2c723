/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of mixed share: the options, what all processes see, and what one server measures. */
#ifndef BENCHMARKS_MIXED_H
#define BENCHMARKS_MIXED_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "samples.h"

struct options {
	uint64_t servers, requests, request_work, gap_us; /* requests: of each server */
	uint64_t batch_per_cpu, builds, build_work, cron_ms, cron_jobs, cron_work, seed;
};

/* In memory that all processes share. */
struct shared {
	pthread_barrier_t start;
	atomic_ullong start_ns; /* of the schedule by which requests are due */
	atomic_bool stop;
	sem_t stopped; /* for who sleeps meanwhile */
	atomic_ullong batch_blocks, builds, cron_bursts, cron_ns;
};

struct server {
	pthread_t thread;
	uint64_t index;
	uint64_t *took_ns, *alone_ns; /* of each request: as it was, and with a CPU always free */
	bool ok;
};

extern struct options opts;
extern struct shared *shared;

void *run_server(void *arg);

/* The processes beside the servers; each waits for the common start, and exits with 0 if all its results were right. */
uint64_t background_count(uint64_t cpus);
int start_background(uint64_t cpus);

#endif
