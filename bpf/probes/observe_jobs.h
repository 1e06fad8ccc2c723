/* SPDX-License-Identifier: GPL-2.0-only */
/* The program's table of jobs by key: adding up, and printing for each part the keys with most CPU time as JSON. */
#ifndef OBSERVE_JOBS_H
#define OBSERVE_JOBS_H

#include <stdio.h>
#include <stdlib.h>

#include "observe.h"

#define MAX_JOBS (1 << 17)
#define SHOWN_JOBS 64 /* of a part: as many as a policy takes hints; the others are one sum, number 0 */

static struct jobs {
	unsigned int part;
	unsigned long long number;
	struct observe_jobs sum;
} *all_jobs;
static int nr_jobs;

static const char *const part_names[OBSERVE_KEYS] = { "name", "arguments", "executable", "parent", "cgroup", "position" };

static void add_sum(struct observe_jobs *to, const struct observe_jobs *sum)
{
	to->tasks += sum->tasks;
	to->cpu_ns += sum->cpu_ns;
	to->squares += sum->squares;
	if (sum->cpu_ns_max_task > to->cpu_ns_max_task)
		to->cpu_ns_max_task = sum->cpu_ns_max_task;
}

/* An entry for each call: what belongs together is put together when it is printed. Beyond MAX_JOBS nothing is added. */
static void add_jobs(unsigned int part, unsigned long long number, const struct observe_jobs *sum)
{
	if (!all_jobs)
		all_jobs = calloc(MAX_JOBS, sizeof(*all_jobs));
	if (all_jobs && nr_jobs < MAX_JOBS && part < OBSERVE_KEYS)
		all_jobs[nr_jobs++] = (struct jobs){ part, number, *sum };
}

static void add_job(unsigned int part, unsigned long long number, unsigned long long cpu_ns)
{
	struct observe_jobs sum = { 1, cpu_ns, cpu_ns, (cpu_ns >> 16) * (cpu_ns >> 16) };

	add_jobs(part, number, &sum);
}

static int by_key(const void *a, const void *b)
{
	const struct jobs *x = a, *y = b;

	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Number 0 last, whatever it used; equal times by number, so that equal runs print alike. */
static int by_cpu_time(const void *a, const void *b)
{
	const struct jobs *x = a, *y = b;

	if (!x->number != !y->number)
		return !x->number ? 1 : -1;
	if (x->sum.cpu_ns != y->sum.cpu_ns)
		return x->sum.cpu_ns > y->sum.cpu_ns ? -1 : 1;
	return by_key(a, b);
}

static void merge_jobs(void)
{
	int i, kept = 0;

	qsort(all_jobs, nr_jobs, sizeof(*all_jobs), by_key);
	for (i = 1; i < nr_jobs; i++) {
		if (by_key(&all_jobs[kept], &all_jobs[i]))
			all_jobs[++kept] = all_jobs[i];
		else
			add_sum(&all_jobs[kept].sum, &all_jobs[i].sum);
	}
	nr_jobs = kept + 1;
}

/* Numbers as text: JSON's own have 53 bits with many readers. */
static void print_jobs_of(const struct jobs *jobs, const char **comma)
{
	const struct observe_jobs *sum = &jobs->sum;

	printf("%s{\"by\":\"%s\",\"key\":\"%llu\",\"tasks\":%llu,\"cpu_ns\":%llu,\"cpu_ns_max_task\":%llu,\"squares\":%llu}", *comma,
	       part_names[jobs->part], jobs->number, sum->tasks, sum->cpu_ns, sum->cpu_ns_max_task, sum->squares);
	*comma = ",";
}

static void print_part(struct jobs *first, int count, const char **comma)
{
	struct jobs rest = { first->part, 0, { 0 } };
	int i;

	qsort(first, count, sizeof(*first), by_cpu_time);
	for (i = 0; i < count; i++) {
		if (i < SHOWN_JOBS && first[i].number)
			print_jobs_of(&first[i], comma);
		else
			add_sum(&rest.sum, &first[i].sum);
	}
	if (rest.sum.tasks)
		print_jobs_of(&rest, comma);
}

static void print_jobs(void)
{
	const char *comma = "";
	int from = 0, to;

	if (!nr_jobs)
		return;
	merge_jobs();
	for (; from < nr_jobs; from = to) {
		for (to = from; to < nr_jobs && all_jobs[to].part == all_jobs[from].part; to++)
			;
		print_part(&all_jobs[from], to - from, &comma);
	}
}

#endif
