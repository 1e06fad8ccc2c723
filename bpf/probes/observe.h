/* SPDX-License-Identifier: GPL-2.0-only */
/* What the probe in the kernel and the program that reads it share. */
#ifndef OBSERVE_H
#define OBSERVE_H

#define OBSERVE_COMM_LEN 16
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

/* A task being followed. `since` is when it last became `state`. */
struct observe_task {
	struct observe_comm comm;
	unsigned int state; /* enum observe_state */
	unsigned int padding;
	unsigned long long since, burst_ns, cpu_mark;
	struct observe_counts counts;
};

enum observe_state {
	OBSERVE_RUNNING,
	OBSERVE_WAITING,
	OBSERVE_SLEEPING,
};

#endif
