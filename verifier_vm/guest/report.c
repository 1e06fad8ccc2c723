// SPDX-License-Identifier: Apache-2.0
/* What `adversary` prints at its end: a line of JSON about the groups of its crew, and figures of the workloads' own. */
#include "adversary.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_FIGURES 32

static struct { char name[32]; double value; } figures[MAX_FIGURES];
static int nr_figures;
static pthread_mutex_t figures_lock = PTHREAD_MUTEX_INITIALIZER;

void figure(const char *name, double value)
{
	int i = 0;

	pthread_mutex_lock(&figures_lock);
	while (i < nr_figures && strcmp(figures[i].name, name))
		i++;
	if (i < MAX_FIGURES) {
		snprintf(figures[i].name, sizeof(figures[i].name), "%s", name);
		figures[i].value += value;
		nr_figures += i == nr_figures;
	}
	pthread_mutex_unlock(&figures_lock);
}

static bool first_of_group(int i)
{
	for (int j = 0; j < i; j++)
		if (workers[j].group == workers[i].group)
			return false;
	return true;
}

static void report_group(const char *group)
{
	double run = 0, square = 0, least = 1e18, most = 0, work = 0, delay = 0, gap = 0;
	uint64_t switches = 0, rounds = 0;
	int n = 0, idle = 0;

	for (int i = 0; i < nr_workers; i++) {
		const struct worker *w = &workers[i];
		double ms = w->run_ns / 1e6;

		if (w->group != group)
			continue;
		n++;
		run += ms;
		square += ms * ms;
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
		work += w->worked_us / 1e3;
		delay += w->delay_ns / 1e6;
		gap = w->gap_ns / 1e6 > gap ? w->gap_ns / 1e6 : gap;
		switches += w->switches;
		rounds += w->progress;
		idle += w->progress == 0 && !w->rests_until_ns;
	}
	printf("\"%s\":{\"n\":%d,\"run_ms\":%.3f,\"square_ms2\":%.3f,\"least_ms\":%.3f,\"most_ms\":%.3f,\"work_ms\":%.3f,"
	       "\"delay_ms\":%.3f,\"gap_ms\":%.1f,\"switches\":%lu,\"rounds\":%lu,\"without_progress\":%d}",
	       group, n, run, square, least, most, work, delay, gap, (unsigned long)switches, (unsigned long)rounds, idle);
}

void report_crew(const char *workload)
{
	bool more = false;

	printf("{\"workload\":\"%s\",\"cpus\":%d,\"threads\":%d,\"wall_ms\":%.3f,\"groups\":{", workload, cpus, nr_workers,
	       (ended_ns - began_ns) / 1e6);
	for (int i = 0; i < nr_workers; i++) {
		if (!first_of_group(i))
			continue;
		printf(more ? "," : "");
		report_group(workers[i].group);
		more = true;
	}
	printf("},\"figures\":{");
	for (int i = 0; i < nr_figures; i++)
		printf("%s\"%s\":%.3f", i ? "," : "", figures[i].name, figures[i].value);
	printf("}}\n");
	fflush(stdout);
}

/* SysRq-D: the dump that the kernel makes when it takes a policy off, while that is still on. Nothing where none is. */
void write_down(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "D", 1) != 1)
		fprintf(stderr, "adversary: the kernel wrote nothing down: %m\n");
	if (fd >= 0)
		close(fd);
}
