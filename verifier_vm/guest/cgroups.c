// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` about cgroups: those that come and go, and what a policy makes of weights and quotas. */
#include "adversary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP "/sys/fs/cgroup"
#define JOB TOP "/job"	/* where run.c put this program */

static void control(const char *group, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	write_file(path, text, "cgroup_errors");
}

static void make(const char *group)
{
	if (mkdir(group, 0755) && errno != EEXIST) {
		fprintf(stderr, "adversary: mkdir %s: %m\n", group);
		figure("mkdir_errors", 1);
	}
}

void move_to_cgroup(pid_t pid, const char *group)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	control(group, "cgroup.procs", text);
}

/* Only leaves may hold processes: this one goes into a leaf of its own, and gives the others the cpu controller. */
static void begin(void)
{
	make(JOB "/main");
	move_to_cgroup(0, JOB "/main");
	control(TOP, "cgroup.subtree_control", "+cpu");
	control(JOB, "cgroup.subtree_control", "+cpu");
}

static void end(void)
{
	control(JOB, "cgroup.subtree_control", "-cpu");
	control(TOP, "cgroup.subtree_control", "-cpu");
	move_to_cgroup(0, JOB);
}

/* W12: cgroups are made, weighted, limited, filled, emptied and removed. */
static struct worker *moved;

static void churner(struct worker *w)
{
	pid_t pid = moved[w->progress % cpus].tid;
	char group[64];

	snprintf(group, sizeof(group), JOB "/churn-%d", (int)(w->progress % 4));
	make(group);
	control(group, "cpu.weight", w->progress % 2 ? "300" : "50");
	move_to_cgroup(pid, group);
	rest(w, 10 * MS);
	control(group, "cpu.max", "30000 100000");
	control(group, "cpu.weight", "100");
	rest(w, 10 * MS);
	move_to_cgroup(pid, JOB "/main");
	if (rmdir(group)) {
		fprintf(stderr, "adversary: rmdir %s: %m\n", group);
		figure("rmdir_errors", 1);
	}
}

static void w12(void)
{
	begin();
	moved = add("W12-moved", hog, cpus);
	for (int i = 0; i < cpus; i++)
		moved[i].process = true;
	add("W12-hog", hog, cpus);
	add("W12-churner", churner, 1)->fifo = DIRECTOR_PRIORITY;
}

/* `n` hogs that are in their cgroup before the time that counts: a move waits for RCU, which hogs may put off for long. */
static void add_hogs_in(const char *cgroup, const char *group, int n)
{
	struct worker *w = add(group, hog, n);

	for (int i = 0; i < n; i++) {
		w[i].process = true;
		w[i].cgroup = cgroup;
	}
}

/* W12 shares: as many hogs as CPUs in a cgroup of weight 300 as in one of 100; and in a third, a tenth of all CPU time. */
static void w12_shares(void)
{
	char quota[32];

	begin();
	make(JOB "/heavy");
	make(JOB "/light");
	make(JOB "/quota");
	control(JOB "/heavy", "cpu.weight", "300");
	control(JOB "/light", "cpu.weight", "100");
	snprintf(quota, sizeof(quota), "%d 20000", 2000 * cpus);
	control(JOB "/quota", "cpu.max", quota);
	add_hogs_in(JOB "/heavy", "W12-heavy", cpus);
	add_hogs_in(JOB "/light", "W12-light", cpus);
	add_hogs_in(JOB "/quota", "W12-quota", cpus);
}

/*
 * W12-before: as many hogs as CPUs in a cgroup of weight 300 as in one of 100, both of which had their weights before the policy
 * came ("weigh" gave them). Whoever leaves them is moved by hand: they are no children of this program's cgroup.
 */
static const char *const before[] = { TOP "/before-heavy", TOP "/before-light" };

int weigh_cgroups(void)
{
	control(TOP, "cgroup.subtree_control", "+cpu");
	for (int i = 0; i < 2; i++) {
		make(before[i]);
		control(before[i], "cpu.weight", i ? "100" : "300");
	}
	return access(TOP "/before-light/cpu.weight", F_OK) ? 1 : 0;
}

static void w12_before(void)
{
	weigh_cgroups();	/* which they are already, unless the policy came first */
	add_hogs_in(before[0], "W12-heavy", cpus);
	add_hogs_in(before[1], "W12-light", cpus);
}

static void w12_before_told(void)
{
	for (int i = 0; i < nr_workers; i++)
		if (workers[i].process)
			move_to_cgroup(workers[i].tid, JOB);
	for (int i = 0; i < 2; i++)
		rmdir(before[i]);
	control(TOP, "cgroup.subtree_control", "-cpu");
}

/* W36: cgroups=N at once, each of which has a task that is seldom without work: more than a policy has places for. */
static void in_its_own(struct worker *w)
{
	char group[64];

	if (!w->state) {
		snprintf(group, sizeof(group), JOB "/one-%u", w->index);
		move_to_cgroup(getpid(), group);
		w->state = 1;
	}
	burn(w, 1000);
	rest(w, 20 * MS + w->index % 7 * MS);
}

static void w36(void)
{
	int n = option("cgroups", 10);
	struct worker *w;
	char group[64];

	begin();
	for (int i = 0; i < n; i++) {
		snprintf(group, sizeof(group), JOB "/one-%d", i);
		make(group);
	}
	w = add("W36-alone", in_its_own, n);
	for (int i = 0; i < n; i++)
		w[i].process = true;
}

static void w36_told(void)
{
	char group[64];

	for (int i = 0; i < nr_workers; i++)
		if (workers[i].process)
			move_to_cgroup(workers[i].tid, JOB "/main");
	for (int i = 0; i < nr_workers; i++) {
		snprintf(group, sizeof(group), JOB "/one-%d", i);
		rmdir(group);
	}
	end();
}

const struct workload cgroup_workloads[] = {
	{ "W12", w12, end }, { "W12-shares", w12_shares, end }, { "W12-before", w12_before, w12_before_told },
	{ "W36", w36, w36_told }, {},
};
