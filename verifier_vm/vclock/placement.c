// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps QEMU's threads on one host CPU: only one of them acts at a time, and a hand-over within a CPU costs a tenth of
 * one to another (2 us against 20 us where tried). When that CPU turns out to be shared, all move to the next.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vclock.h"

#define LOOK_EVERY 512			/* horizons */
#define PERIOD_NS 50000000ull
#define FAIR_SHARE 0.8			/* of a period that was ours; less, and the CPU is another's too */

static cpu_set_t allowed;
static int cpu = -1;
static uint64_t wall_ns, own_ns;

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	syscall(SYS_clock_gettime, clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void move_all(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	while (tasks && (entry = readdir(tasks)))
		if (atoi(entry->d_name) > 0)
			sched_setaffinity(atoi(entry->d_name), sizeof(one), &one);
	if (tasks)
		closedir(tasks);
}

void placement_start(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed) || CPU_COUNT(&allowed) < 2)
		return;
	cpu = sched_getcpu();
	move_all();
	wall_ns = read_clock(CLOCK_MONOTONIC);
	own_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void placement_look(void)
{
	static unsigned int calls;
	uint64_t wall, own;

	if (cpu < 0 || ++calls % LOOK_EVERY)
		return;
	wall = read_clock(CLOCK_MONOTONIC);
	if (wall - wall_ns < PERIOD_NS)
		return;
	own = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	if ((double)(own - own_ns) < FAIR_SHARE * (double)(wall - wall_ns)) {
		do
			cpu = (cpu + 1) % CPU_SETSIZE;
		while (!CPU_ISSET(cpu, &allowed));
		move_all();
		stats->moves++;
	}
	wall_ns = wall;
	own_ns = own;
}
