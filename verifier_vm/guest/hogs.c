// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` made of hogs: tasks that never sleep, with what each kind needs besides. */
#include "adversary.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* W1: hogs=N floating ones, two a CPU. */
static void w1(void)
{
	add("W1-hog", hog, option("hogs", 2 * cpus));
}

/*
 * W3: more runnable tasks than CPUs by far: hogs=N a CPU, and crowd=N sleepers that all wake in the same millisecond.
 * With turns of 20 ms, 40 hogs a CPU have a round of 0.8 s: far enough below any limit for stalls.
 */
static void crowd(struct worker *w)
{
	uint64_t period = option("crowd_ms", 400) * MS, now = now_ns();

	rest(w, period - now % period);
	burn(w, 100);
}

/* Within what a guest of 512 MiB has room for, under EEVDF, too: some 2,800 threads. */
static unsigned int most(unsigned int wanted)
{
	return wanted < 1200 ? wanted : 1200;
}

static void w3(void)
{
	add("W3-hog", hog, most(option("crowd_hogs", 40) * cpus));
	add("W3-crowd", crowd, most(option("crowd", 100) * cpus));
}

/*
 * W4: nice levels -5, 0 and 5 (weights 3121, 1024 and 335), each=N of each, two a CPU; at=CPU binds all to one. Two, since
 * between the turns of a single task its CPU looks into every queue, and of two that stand in its own it need not.
 */
static void w4(void)
{
	static const struct { const char *group; int nice; } levels[] = { { "W4-high", -5 }, { "W4-mid", 0 }, { "W4-low", 5 } };
	int cpu = option("at", FLOATING), each = option("each", cpu == FLOATING ? 2 * cpus : 2);

	for (int i = 0; i < 3; i++) {
		struct worker *w = add(levels[i].group, hog, each);

		for (int j = 0; j < each; j++) {
			w[j].nice = levels[i].nice;
			w[j].cpu = cpu;
		}
	}
}

/* W6: pinned=N hogs bound to each CPU (two, as in W4), among as many that float. */
static void w6(void)
{
	int n = cpus * option("pinned", 2);
	struct worker *w = add("W6-pinned", hog, n);

	for (int i = 0; i < n; i++)
		w[i].cpu = i % cpus;
	add("W6-floating", hog, option("floating", 2 * cpus));
}

/* W11: exactly as many hogs as CPUs: none may ever wait, and no CPU idle; and tasks that wake beside them. */
static void brief(struct worker *w)
{
	rest(w, 20 * MS);
	burn(w, 100);
}

static void w11(void)
{
	add("W11-hog", hog, cpus);
	add("W11-brief", brief, option("brief", 1));
}

/*
 * W13: real-time tasks that leave rt=N CPUs for 100 ms in every second; what waits there has that and the kernel's few per
 * cent, and what may run elsewhere should. Were they never to leave, the kernel's own watchdog would starve.
 */
static void mostly_hog(struct worker *w)
{
	burn(w, 400);
	if (++w->state % 2250 == 0)
		rest(w, 100 * MS);
}

static void w13(void)
{
	int n = option("rt", 1);
	struct worker *w = add("W13-rt", mostly_hog, n);

	for (int i = 0; i < n; i++) {
		w[i].cpu = i;
		w[i].fifo = 10;
	}
	w = add("W13-pinned", hog, cpus);
	for (int i = 0; i < cpus; i++)
		w[i].cpu = i;
	add("W13-floating", hog, cpus);
}

/*
 * W15: two that yield after every 50 us, alone on one CPU. Where a yield gives up the CPU they alternate: the figure is the
 * share of yields after which the other ran.
 */
static _Atomic int last_yielder;
static _Atomic uint64_t yields, handovers;

static void yielder(struct worker *w)
{
	int me = w->index + 1;

	burn(w, 50);
	yields++;
	if (last_yielder != me)
		handovers++;
	last_yielder = me;
	sched_yield();
}

static void w15(void)
{
	struct worker *w = add("W15-yielder", yielder, 2);

	w[0].cpu = w[1].cpu = cpus - 1;
}

static void w15_told(void)
{
	figure("yields", yields);
	figure("handovers", handovers);
}

const struct workload hog_workloads[] = {
	{ "W1", w1, NULL }, { "W3", w3, NULL }, { "W4", w4, NULL }, { "W6", w6, NULL }, { "W11", w11, NULL },
	{ "W13", w13, NULL }, { "W15", w15, w15_told }, {},
};
