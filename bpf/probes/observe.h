/* SPDX-License-Identifier: GPL-2.0-only */
/* What the probe in the kernel and the program that reads it share. */
#ifndef OBSERVE_H
#define OBSERVE_H

#define OBSERVE_COMM_LEN 16
#define OBSERVE_KEYS 6 /* parts of a job's key: enum sx_job_part of primitives/jobkey.h */
#define OBSERVE_BUCKETS 32 /* bucket i counts times from 2^i us to below 2^(i+1) us; the first also those below 1 us */

struct observe_comm {
	char name[OBSERVE_COMM_LEN];
};

/* The sum over the tasks of one command, and as well what one task adds to it. Times in ns. */
struct observe_counts {
	unsigned long long tasks, cpu_ns, cpu_ns_max_task, wait_ns, sleep_ns, wakeups, switches;
	unsigned long long burst_log2_us[OBSERVE_BUCKETS]; /* CPU time between a wake-up and the next sleep */
	unsigned long long wait_log2_us[OBSERVE_BUCKETS]; /* from runnable to running, once per wait */
};

/* Jobs of one key: all tasks whose `part` has that number. */
struct observe_key {
	unsigned int part, padding;
	unsigned long long number; /* 0: the sum of those that found no room, or whose number is not known */
};

/* `squares` is the sum of the squares of the tasks' CPU times, in units of 65.536 us (2^16 ns), to tell how they differ. */
struct observe_jobs {
	unsigned long long tasks, cpu_ns, cpu_ns_max_task, squares;
};

/* A task being followed. `since` is when it last became `state`. */
struct observe_task {
	struct observe_comm comm;
	unsigned int state; /* enum observe_state */
	unsigned int padding;
	unsigned long long since, burst_ns, cpu_mark;
	unsigned long long parts[OBSERVE_KEYS], forks;
	struct observe_counts counts;
};

enum observe_state {
	OBSERVE_RUNNING,
	OBSERVE_WAITING,
	OBSERVE_SLEEPING,
};

#endif
