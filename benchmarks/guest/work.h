/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every synthetic workload is made of: a clock, seeded numbers, options, and a unit of CPU work whose result
 * can be checked without doing the work again.
 *
 * The work is a linear congruential generator, x' = MUL * x + ADD mod 2^64 (Knuth's MMIX constants, TAOCP 2, 3.3.4).
 * n steps of it are one affine map that squaring finds in log2(n) operations (F. Brown, "Random number generation
 * with arbitrary strides", 1994), so work that was skipped or went wrong shows at once.
 */
#ifndef BENCHMARKS_WORK_H
#define BENCHMARKS_WORK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORK_MUL 6364136223846793005ULL
#define WORK_ADD 1442695040888963407ULL
#define WORK_STEPS_PER_BLOCK 64

/*
 * Under the virtual clock (verifier_vm/vclock) a no-op can be charged any time, which makes a burst of CPU time as long for
 * the guest's scheduler and all but free for the host. Of WORK_GROUP blocks one is then really done, and the no-op takes
 * the time of the others; it is short, so that interrupts come as promptly as between instructions.
 */
#define WORK_GROUP 16
#define WORK_BURST() __asm__ volatile("nopl 0x5ced0013(%rax)") /* 19 units of 100 ns: 15 blocks of 130 instructions */

static uint64_t work_real; /* execute every instruction, whatever the clock */

static inline int work_in_bursts(void)
{
	static int known = -1;

	if (known < 0) {
		const char *clock = getenv("SCHEDCP_CLOCK");

		known = clock && !strcmp(clock, "virtual") && !work_real;
	}
	return known;
}

/* The empty asm stops the compiler from folding steps into one: what is asked for is what is executed. */
#define WORK_STEP(x) do { (x) = (x) * WORK_MUL + WORK_ADD; __asm__ volatile("" : "+r"(x)); } while (0)
#define WORK_STEPS4(x) do { WORK_STEP(x); WORK_STEP(x); WORK_STEP(x); WORK_STEP(x); } while (0)
#define WORK_STEPS16(x) do { WORK_STEPS4(x); WORK_STEPS4(x); WORK_STEPS4(x); WORK_STEPS4(x); } while (0)

/* `blocks` blocks of 64 steps, each some 130 instructions without a branch: cheap to count per translated block. */
static inline uint64_t work_blocks(uint64_t x, uint64_t blocks)
{
	for (; blocks; blocks--) {
		WORK_STEPS16(x);
		WORK_STEPS16(x);
		WORK_STEPS16(x);
		WORK_STEPS16(x);
	}
	return x;
}

static inline uint64_t work_run(uint64_t x, uint64_t blocks)
{
	if (work_in_bursts()) {
		for (; blocks >= WORK_GROUP; blocks -= WORK_GROUP) {
			WORK_BURST();
			x = work_blocks(x, 1);
		}
	}
	return work_blocks(x, blocks);
}

/* How many of the blocks of one work_run() are really done. */
static inline uint64_t work_done(uint64_t blocks)
{
	return work_in_bursts() ? blocks / WORK_GROUP + blocks % WORK_GROUP : blocks;
}

/* What x has become after so many blocks were really done. */
static inline uint64_t work_expected(uint64_t x, uint64_t blocks)
{
	uint64_t mul = WORK_MUL, add = WORK_ADD, all_mul = 1, all_add = 0, steps;

	for (steps = blocks * WORK_STEPS_PER_BLOCK; steps; steps >>= 1) {
		if (steps & 1) {
			all_mul *= mul;
			all_add = all_add * mul + add;
		}
		add *= mul + 1;
		mul *= mul;
	}
	return all_mul * x + all_add;
}

/* The `index`th number of stream `seed` (SplitMix64: Steele, Lea and Flood, OOPSLA 2014). */
static inline uint64_t seeded(uint64_t seed, uint64_t index)
{
	uint64_t z = seed * 0xd1342543de82ef95ULL + (index + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/*
 * What a process keeps in the caches: a machine that the clock takes the CPUs for charges for it when the process comes
 * after others, or elsewhere. The size is a part of the no-op, hence a power of two, rounded up; 0 says nothing.
 */
#define WORK_FOOTPRINT(shift) case shift: __asm__ volatile(".byte 0x0f, 0x1f, 0x80\n.long %c0" : : "i"(0x5cee0000 | 1 << shift)); break

static inline void work_tell_footprint(uint64_t kib)
{
	int shift = 0;

	while (shift < 15 && 4ULL << shift < kib)
		shift++;
	switch (kib ? shift : -1) {
	WORK_FOOTPRINT(0); WORK_FOOTPRINT(1); WORK_FOOTPRINT(2); WORK_FOOTPRINT(3);
	WORK_FOOTPRINT(4); WORK_FOOTPRINT(5); WORK_FOOTPRINT(6); WORK_FOOTPRINT(7);
	WORK_FOOTPRINT(8); WORK_FOOTPRINT(9); WORK_FOOTPRINT(10); WORK_FOOTPRINT(11);
	WORK_FOOTPRINT(12); WORK_FOOTPRINT(13); WORK_FOOTPRINT(14); WORK_FOOTPRINT(15);
	}
}

#define CHECK_OPTIONS "SCHEDCP_CHECK_OPTIONS"

struct option_spec {
	const char *name;
	uint64_t *value;
	uint64_t low, high;
};

/*
 * `--name NUMBER` pairs into the values of `specs` (ended by a null name); anything else ends the program with 2. With
 * CHECK_OPTIONS in the environment it ends here in any case, with 0 for good ones: so the host asks before a guest runs.
 */
static inline void read_options(int argc, char **argv, const struct option_spec *specs)
{
	for (int i = 1; i < argc; i += 2) {
		const struct option_spec *spec = specs;
		char *end = NULL;

		while (spec->name && strcmp(spec->name, argv[i]))
			spec++;
		if (!spec->name || i + 1 == argc) {
			fprintf(stderr, "%s: %s '%s'\n", argv[0], spec->name ? "no value after" : "unknown option", argv[i]);
			exit(2);
		}
		errno = 0;
		*spec->value = strtoull(argv[i + 1], &end, 10);
		if (errno || argv[i + 1][0] < '0' || argv[i + 1][0] > '9' || *end || *spec->value < spec->low ||
		    *spec->value > spec->high) {
			fprintf(stderr, "%s: %s must be a whole number from %llu to %llu, not '%s'\n", argv[0], spec->name,
				(unsigned long long)spec->low, (unsigned long long)spec->high, argv[i + 1]);
			exit(2);
		}
	}
	if (getenv(CHECK_OPTIONS))
		exit(0);
}

#endif
