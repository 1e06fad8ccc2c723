/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a case of the batch family is. All small jobs work on one input, the large job on another; both are made once,
 * before the first job is started, and a job only reads them. What a job needs of them is KEPT: it may call exec.
 */
#ifndef BENCHMARKS_CASE_H
#define BENCHMARKS_CASE_H

#include "jobs.h"

enum { SMALL, LARGE };

struct batch_case {
	const char *name, *unit, *comm[2]; /* names of the jobs, small and large, as a host would show the programs */
	uint64_t low, high; /* the sizes that make sense, in units */
	void (*prepare)(int large, uint64_t size); /* makes one of the two inputs; ends the program if it cannot */
	void (*open)(const struct job *job);
	int (*run)(const struct job *job);
	void (*clean)(void); /* after the last job: what was made outside memory goes away */
};

static void cannot(const char *what)
{
	perror(what);
	exit(1);
}

/*
 * Memory for an input, shared as a file in the page cache is: a job maps what it reads, many pages at a time. Of
 * private memory each would copy and tear down the page tables of both inputs, so that the small jobs paid for the
 * large one's.
 */
static void *input_memory(uint64_t bytes)
{
	void *memory = kept_memory(bytes);

	if (memory == MAP_FAILED)
		cannot("no memory for an input");
	return memory;
}

static char *put_number(char *out, uint64_t number)
{
	char digits[20];
	int count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (count)
		*out++ = digits[--count];
	return out;
}

#endif
