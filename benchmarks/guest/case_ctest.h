/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctest: a test suite, many short tests of sin(x) * cos(x) each with an asserted result. Pure CPU time, so under the
 * virtual clock one iteration in 16 is really done and a no-op is charged the time of the others, as in work.h.
 *
 * The sum over x = a, a + d, ... of n terms is sin(nd) sin(2a + (n-1)d) / (2 sin d): sin x cos x is sin(2x) / 2, and
 * the sines of an arithmetic progression have that sum (Abramowitz and Stegun, 4.3.45 and the like).
 */
#ifndef BENCHMARKS_CASE_CTEST_H
#define BENCHMARKS_CASE_CTEST_H

#include <math.h>

#include "case.h"

#define TEST_ITERATIONS 4096
#define TEST_STEP 1e-3
/* 22 units of 100 ns: 15 iterations, as measured with --real 1. */
#define CTEST_BURST() __asm__ volatile("nopl 0x5ced0016(%rax)")

static int one_test(double from, uint64_t iterations)
{
	uint64_t stride = work_in_bursts() ? WORK_GROUP : 1, done = (iterations + stride - 1) / stride;
	double sum = 0, n = (double)done, expected;

	for (uint64_t i = 0; i < done; i++) {
		double x = from + (double)i * TEST_STEP;

		sum += sin(x) * cos(x);
		if (stride > 1)
			CTEST_BURST();
	}
	expected = sin(n * TEST_STEP) * sin(2 * from + (n - 1) * TEST_STEP) / (2 * sin(TEST_STEP));
	return fabs(sum - expected) < 1e-9; /* rounding: some 4096 times 1e-16; one term too few: some 0.5 */
}

static int ctest_run(const struct job *job)
{
	uint64_t left = job->size, test = 0, failed = 0;

	for (; left; test++) {
		uint64_t iterations = left < TEST_ITERATIONS ? left : TEST_ITERATIONS;

		/* From 0.1 to 0.7: no sum's last term is so near a zero that it would not be missed. */
		failed += !one_test(0.1 + (double)(seeded(job->first, test) % 1000) * 6e-4, iterations);
		left -= iterations;
	}
	return failed == 0;
}

static void ctest_prepare(int large, uint64_t iterations)
{
	(void)large;
	(void)iterations;
}

static const struct batch_case ctest_case = {
	"ctest", "iterations", {"ctest-small", "ctest-large"}, 16, 1ULL << 40,
	ctest_prepare, NULL, ctest_run, NULL,
};

#endif
