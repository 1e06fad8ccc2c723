// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` in which what the policy must know of changes all the time: affinity, tasks, CPUs. */
#include "adversary.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A mask of one CPU, of all, or of any others. */
static void bind_at_random(struct worker *w, pid_t tid)
{
	uint64_t number = draw(w);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number % cpus, &set);
	for (int cpu = 0; cpu < cpus && number >> 8 & 3; cpu++)
		if (number >> (16 + cpu % 32) & 1)
			CPU_SET(cpu, &set);
	sched_setaffinity(tid, sizeof(set), &set);
}

/* W5: tasks that move themselves, that are moved by another, and that wake with a narrow mask. */
static struct worker *driven;
static int nr_driven;

static void wanderer(struct worker *w)
{
	bind_at_random(w, 0);
	burn(w, option("wander_us", 2000));
}

/*
 * Each is moved every driven_ms. Who is moved queues anew, behind all others: moved more often than it would have its turn, a
 * task starves under any policy that serves in order, and that is the drover's doing.
 */
static void drover(struct worker *w)
{
	rest(w, option("driven_ms", 2500) * MS / nr_driven);
	bind_at_random(w, driven[draw(w) % nr_driven].tid);
}

/* All CPUs but one: the narrowest mask with which a policy is still asked for a CPU, if there are three or more. */
static void narrow(struct worker *w)
{
	if (!w->state) {
		cpu_set_t set;

		w->state = 1;
		CPU_ZERO(&set);
		for (int cpu = 0; cpu < cpus; cpu++)
			if (cpu != (int)w->index % cpus || cpus == 1)
				CPU_SET(cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	rest(w, option("narrow_ms", 4) * MS);
	burn(w, 100);
}

static void w5(void)
{
	add("W5-wanderer", wanderer, cpus);
	nr_driven = 3 * cpus;
	driven = add("W5-driven", hog, nr_driven);
	add("W5-drover", drover, 1);
	add("W5-narrow", narrow, cpus);
}

static void w5_told(void)
{
	uint64_t wakes = 0;

	for (int i = 0; i < nr_workers; i++)
		if (workers[i].turn == narrow)
			wakes += workers[i].progress;
	figure("narrow_wakes", wakes);
}

/*
 * W8: forkers=N that fork children which burn a while and exit; every fourth executes a program. There is always a new child
 * for each CPU, so that hogs starve if the new go first.
 */
static void forker(struct worker *w)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (w->progress % 4 == 3)
			execl("/bin/adversary", "adversary", "nothing", NULL);
		burn(w, option("child_us", 10000));
		_exit(0);
	}
	if (pid > 0) {
		w->rests_until_ns = UINT64_MAX;	/* no gap of its own: the kernel's watchdog minds the child */
		waitpid(pid, NULL, 0);
		w->rests_until_ns = 1;
	} else {
		fprintf(stderr, "adversary: fork: %s\n", strerror(errno));
		w->state++;
		rest(w, 10 * MS);
	}
}

/* Processes, not threads: those would queue for one address space whenever they fork. */
static void w8(void)
{
	int n = option("forkers", 3 * cpus);
	struct worker *w;

	add("W8-hog", hog, cpus);
	w = add("W8-forker", forker, n);
	for (int i = 0; i < n; i++)
		w[i].process = true;
}

static void w8_told(void)
{
	for (int i = 0; i < nr_workers; i++) {
		if (workers[i].turn != forker)
			continue;
		figure("forks", workers[i].progress - workers[i].state);
		figure("fork_errors", workers[i].state);
	}
}

/*
 * W9: CPUs go and come while hogs float, and others sleep. CPU 0 stays. In virtual time only with two CPUs: with more, the time of
 * those that wait for a starting CPU was seen to run ahead of the others' by seconds, under EEVDF, too.
 */
static void set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	write_file(path, online ? "1" : "0", "hotplug_errors");
}

static void plugger(struct worker *w)
{
	int cpu = cpus - 1 - (int)(w->progress % 3) % (cpus - 1);

	set_online(cpu, false);
	rest(w, 60 * MS);
	set_online(cpu, true);
	rest(w, 60 * MS);
}

static void nap_and_burn(struct worker *w)
{
	rest(w, 5 * MS);
	burn(w, 500);
}

static void w9(void)
{
	add("W9-hog", hog, 2 * cpus);
	add("W9-sleeper", nap_and_burn, cpus);
	if (cpus == 2 || (cpus > 2 && !clock_is_virtual()))
		add("W9-plugger", plugger, 1)->fifo = DIRECTOR_PRIORITY;
}

/* A policy that was taken off for a CPU's sake leaves no CPU missing. */
static void w9_told(void)
{
	for (int cpu = 1; cpu < cpus; cpu++)
		if (sysconf(_SC_NPROCESSORS_ONLN) < cpus)
			set_online(cpu, true);
	figure("cpus_online", sysconf(_SC_NPROCESSORS_ONLN));
}

/*
 * W28: the policy was attached while the last CPU was offline ("offline" before it did that), which comes back after late_ms with a
 * hog bound to it, and goes once more. In virtual time only with two CPUs, as W9.
 */
static void late_plugger(struct worker *w)
{
	bool comes = w->progress % 2 == 0;

	if (!w->progress)
		rest(w, option("late_ms", 0) * MS);
	set_online(cpus, comes);
	if (comes)
		bind_to(workers[0].tid, cpus);
	rest(w, 400 * MS);
}

static bool one_is_offline(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) < sysconf(_SC_NPROCESSORS_CONF);
}

static void w28(void)
{
	add("W28-hog", hog, 2 * cpus + 1);
	add("W28-sleeper", nap_and_burn, cpus + 1);
	if (one_is_offline())
		add("W28-plugger", late_plugger, 1)->fifo = DIRECTOR_PRIORITY;
}

static void w28_told(void)
{
	if (one_is_offline())
		set_online(cpus, true);
	figure("cpus_online", sysconf(_SC_NPROCESSORS_ONLN));
}

int take_last_cpu(void)
{
	if (cpus < 2 || (cpus > 2 && clock_is_virtual()))
		return 0;
	set_online(cpus - 1, false);
	return one_is_offline() ? 0 : 1;
}

const struct workload churn_workloads[] = {
	{ "W5", w5, w5_told }, { "W8", w8, w8_told }, { "W9", w9, w9_told }, { "W28", w28, w28_told }, {},
};
