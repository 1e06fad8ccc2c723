// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` in which the work is on one side of the machine: on one CPU of many, or woken all at once. */
#include "adversary.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * W33: hogs bound to CPU 0, and on each other CPU one that is bound to it and wakes for a moment: it leaves a CPU that looks for
 * work where only CPU 0's waits. What that finds must not keep CPU 0 from looking.
 */
#define BOUND 40	/* as in W3: in turns of 20 ms a round of 0.8 s, and some are left out if CPU 0 looks once in a while only */

static void glance(struct worker *w)
{
	rest(w, 8 * MS + draw(w) % (2 * MS));
	burn(w, 10);
}

static void w33(void)
{
	struct worker *w = add("W33-bound", hog, BOUND);

	for (int i = 0; i < BOUND; i++)
		w[i].cpu = 0;
	if (cpus < 2)
		return;
	w = add("W33-glance", glance, cpus - 1);
	for (int i = 1; i < cpus; i++)
		w[i - 1].cpu = i;
}

/*
 * W34: as many tasks as CPUs, that one wakes with a single call. All were last on CPU 0, which alone is woken with them: that each
 * has one of the idle ones is the policy's doing.
 */
static _Atomic unsigned int bell;

static void woken(struct worker *w)
{
	unsigned int heard = bell;

	bind_to(0, 0);
	bind_to_all(0);
	w->rests_until_ns = UINT64_MAX;
	syscall(SYS_futex, &bell, FUTEX_WAIT_PRIVATE, heard, NULL, NULL, 0);
	w->rests_until_ns = 1;
	burn(w, 6000);
}

static void ring(struct worker *w)
{
	rest(w, 16 * MS);
	bell++;
	syscall(SYS_futex, &bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void w34(void)
{
	add("W34-woken", woken, cpus);
	add("W34-ringer", ring, 1)->fifo = DIRECTOR_PRIORITY;
}

/* W35: as many hogs as CPUs, now and again all put onto CPU 0 and let go at once: the others are idle, and may have them. */
static void mover(struct worker *w)
{
	rest(w, 100 * MS);
	for (int i = 0; i < cpus; i++)
		bind_to(workers[i].tid, 0);
	for (int i = 0; i < cpus; i++)
		bind_to_all(workers[i].tid);
}

static void w35(void)
{
	add("W35-hog", hog, cpus);
	add("W35-mover", mover, 1)->fifo = DIRECTOR_PRIORITY;
}

/*
 * W37: on each CPU a hog that is bound to it, and one that is bound, too, and wakes for a moment. Whenever that one sleeps the CPU
 * looks for work, and the hog is all that there is: a look that leaves out a queue leaves it waiting, and no other CPU may have it.
 */
static void brief(struct worker *w)
{
	rest(w, 15 * MS + draw(w) % (20 * MS));
	burn(w, 1000);
}

static void w37(void)
{
	struct worker *w = add("W37-hog", hog, cpus);

	for (int i = 0; i < cpus; i++) {
		w[i].cpu = i;
		w[i].nice = i % 2 ? 0 : 5;	/* a queue for each level, or one for all */
	}
	w = add("W37-brief", brief, cpus);
	for (int i = 0; i < cpus; i++)
		w[i].cpu = i;
}

/*
 * W38: a real-time task has CPU 0 for a second and more, while hogs that are bound to it wait and those of the other CPUs run; then
 * it rests for good. Whoever waited lags far behind those that ran, which must not be to anybody's loss.
 */
#define HELD_MS 1200	/* shorter than a stall: the hogs there wait for nobody's fault */
#define HELD 16		/* hogs that share what they catch up with: enough that the first round of all takes a while */
#define FREE 2

static void holds(struct worker *w)
{
	burn(w, 400);
	if (now_ns() - began_ns > HELD_MS * MS)
		rest(w, 1000 * MS);
}

static void w38(void)
{
	struct worker *w = add("W38-rt", holds, 1);

	w->cpu = 0;
	w->fifo = 10;
	w = add("W38-held", hog, HELD);
	for (int i = 0; i < HELD; i++)
		w[i].cpu = 0;
	if (cpus < 2)
		return;
	w = add("W38-free", hog, FREE * (cpus - 1));
	for (int i = 0; i < FREE * (cpus - 1); i++)
		w[i].cpu = 1 + i / FREE;
}

const struct workload side_workloads[] = {
	{ "W33", w33, NULL }, { "W34", w34, NULL }, { "W35", w35, NULL }, { "W37", w37, NULL }, { "W38", w38, NULL }, {},
};
