/* SPDX-License-Identifier: Apache-2.0 */
/* What the workloads with timers share: sleep until a deadline, and percentiles of what was measured. */
#ifndef BENCHMARKS_SAMPLES_H
#define BENCHMARKS_SAMPLES_H

#include "work.h"

static inline void sleep_until(uint64_t deadline_ns)
{
	struct timespec t = {.tv_sec = (time_t)(deadline_ns / 1000000000ULL), .tv_nsec = (long)(deadline_ns % 1000000000ULL)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

static inline int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static inline void sort_samples(uint64_t *ns, uint64_t count)
{
	qsort(ns, count, sizeof(*ns), by_value);
}

/* Nearest rank: the smallest sample that `percent` of all samples do not exceed. */
static inline double percentile_us(const uint64_t *sorted, uint64_t count, uint64_t percent)
{
	return (double)sorted[(count * percent + 99) / 100 - 1] / 1e3;
}

#endif
