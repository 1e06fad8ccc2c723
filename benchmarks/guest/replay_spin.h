/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bursts of CPU time of a given length. Under the virtual clock they are charged to no-ops (work.h says how), else they
 * are blocks of work, as many as the fastest of some trials did in that time.
 */
#ifndef BENCHMARKS_REPLAY_SPIN_H
#define BENCHMARKS_REPLAY_SPIN_H

#include "work.h"

#define SPIN_10US() __asm__ volatile("nopl 0x5ced0064(%rax)")
#define SPIN_1US() __asm__ volatile("nopl 0x5ced000a(%rax)")
#define SPIN_TRIALS 20
#define SPIN_TRIAL_BLOCKS 2000

static double blocks_per_us; /* 0 under the virtual clock */

static inline uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* Half a tick's length of work each: most of the trials see no interrupt. */
static inline void spin_calibrate(void)
{
	uint64_t best_ns = UINT64_MAX;

	if (work_in_bursts())
		return;
	for (int i = 0; i < SPIN_TRIALS; i++) {
		uint64_t start_ns = thread_cpu_ns(), took_ns;

		work_blocks(1, SPIN_TRIAL_BLOCKS);
		took_ns = thread_cpu_ns() - start_ns;
		best_ns = took_ns && took_ns < best_ns ? took_ns : best_ns;
	}
	blocks_per_us = SPIN_TRIAL_BLOCKS * 1e3 / (double)best_ns;
}

static inline void spin(uint64_t us)
{
	if (blocks_per_us > 0) {
		work_blocks(us, (uint64_t)((double)us * blocks_per_us));
		return;
	}
	for (; us >= 10; us -= 10)
		SPIN_10US();
	for (; us; us--)
		SPIN_1US();
}

#endif
