/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `schedcp machine measure` has done on a host: small experiments, each a word of the command line. A sample is a line
 * on stdout, written at once, so that one who waits for an experiment hears how far it is.
 */
#ifndef BENCHMARKS_MEASURE_H
#define BENCHMARKS_MEASURE_H

#include <err.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 64

static inline uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(4, "CPU %d", cpu);
}

static inline void sample(double value)
{
	printf("%.4f\n", value);
	fflush(stdout);
}

struct part {
	const char *name;
	void (*run)(void);
};

/* Real programs' work, small enough to be counted instruction by instruction; the last one is empty. */
extern const struct part parts[];
const struct part *part_of(const char *name);
void parts_prepare(void);

#define CHAINS 8

/* A working set: its lines, and an order of them that no prefetcher guesses. */
struct lines {
	char *at;
	uint32_t *order;
	size_t count;
};

struct lines lines_of(size_t kib);
void chain(struct lines *lines, size_t chains);
uint64_t read_ns(const struct lines *lines); /* all of them once, by CHAINS chains */

/* Each takes its arguments as text, from the word's own on. */
void count(char **args);    /* PART: its instructions */
void work(char **args);     /* PART CPU REPS [CPUS that are busy meanwhile, by commas]: ns a run */
void syscalls(char **args); /* CPU REPS: ns a round of calls */
void switches(char **args); /* CPU REPS: ns a switch between two processes, less the calls that make it */
void pingpong(char **args); /* CPU REPS: ns from a write to the return of another process's read on that CPU */
void wake(char **args);     /* CPU OTHER IDLE_US REPS: the same for a process on another CPU that was idle for so long */
void refill(char **args);   /* FROM TO KIB KIB REPS: GB/s at which a working set comes back that another, or `flush`, drove out */
void evict(char **args);    /* CPU KIB KIB REPS: ns until a process that was woken has read its set, which another drove out */
void chase(char **args);    /* CPU KIB REPS: ns a dependent load */
void stream(char **args);   /* CPUS KIB REPS: GB/s that they read together */
void beyond(char **args);   /* CPU KIB KIB REPS: the speed with the second footprint, of that with the first */

#endif
