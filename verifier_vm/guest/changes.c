// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` in which tasks are changed by others while they run or wait: class, nice, name, mask. */
#include "adversary.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * W22: a driver takes one task after the other through every class that a task may have, and through nice levels, names and
 * masks, whether it runs or waits in a queue just then. What would put a task far behind its equals under any policy that
 * counts by weight (SCHED_IDLE) lasts for 2 ms only.
 */
static struct worker *changed;
static int nr_changed;

static void rename_task(pid_t tid, const char *name)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
	write_file(path, name, "comm_errors");
}

static void change(struct worker *w)
{
	pid_t tid = changed[draw(w) % nr_changed].tid;

	switch (w->progress % 6) {
	case 0:
		set_class(tid, SCHED_FIFO, 5);
		rest(w, 2 * MS);
		break;
	case 1:
		set_class(tid, SCHED_IDLE, 0);
		rest(w, 2 * MS);
		break;
	case 2:
		set_class(tid, SCHED_BATCH, 0);
		rest(w, 5 * MS);
		break;
	case 3:
		setpriority(PRIO_PROCESS, tid, 5);
		rest(w, 5 * MS);
		setpriority(PRIO_PROCESS, tid, -5);
		rest(w, 5 * MS);
		setpriority(PRIO_PROCESS, tid, 0);
		break;
	case 4:
		rename_task(tid, "W22-other");
		rest(w, 2 * MS);
		rename_task(tid, "W22-changed");
		break;
	default:
		bind_to(tid, draw(w) % cpus);
		rest(w, 5 * MS);
		bind_to_all(tid);
	}
	set_class(tid, ordinary_class(), 0);
	rest(w, 2 * MS);
}

/* Some sleep, so that changes meet tasks that are not queued, too. */
static void burn_or_rest(struct worker *w)
{
	if (w->index % 3 == 2)
		rest(w, 3 * MS);
	burn(w, 300);
}

static void w22(void)
{
	nr_changed = 3 * cpus;
	changed = add("W22-changed", burn_or_rest, nr_changed);
	add("W22-driver", change, 1)->fifo = DIRECTOR_PRIORITY;
}

const struct workload change_workloads[] = {
	{ "W22", w22, NULL }, {},
};
