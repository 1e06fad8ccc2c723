// SPDX-License-Identifier: Apache-2.0
/* Workloads of `adversary` with a rhythm, or with many tasks: real-time pulses, periods, herds, and more tasks than a table has. */
#include "adversary.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * W21: a real-time task that takes 2 ms of every 8 from hogs bound to its CPU, and beside them hogs that float. What is handed
 * a whole turn whenever it goes on has one without end.
 */
static void pulse(struct worker *w)
{
	uint64_t period = 8 * MS;

	rest(w, period - now_ns() % period);
	burn(w, 2000);
}

static void w21(void)
{
	int cpu = cpus - 1;
	struct worker *w = add("W21-pulse", pulse, 1);

	w->cpu = cpu;
	w->fifo = 10;
	w = add("W21-pinned", hog, 3);
	for (int i = 0; i < 3; i++)
		w[i].cpu = cpu;
	add("W21-floating", hog, cpus);
}

/* W23: tasks=N at once, each of which wakes once in a while: more than a policy has room for, if it keeps them in a table. */
static void seldom(struct worker *w)
{
	rest(w, option("seldom_ms", 400) * MS + w->index % 100 * MS);
	burn(w, 20);
}

static void w23(void)
{
	add("W23-hog", hog, cpus);
	add("W23-task", seldom, option("tasks", 300));
}

/*
 * W29: tasks=N one after the other, none of which stays: who never takes a task that ended out of its table has no room in the end.
 * Threads, since these are the cheapest tasks.
 */
static _Atomic uint64_t came;

static void *come_and_go(void *)
{
	return NULL;
}

static void turnover(struct worker *w)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (came >= option("tasks", 300)) {
		rest(w, 100 * MS);
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32768);
	w->rests_until_ns = UINT64_MAX;	/* it waits for a thread that is new, which others may make wait */
	if (pthread_create(&thread, &attr, come_and_go, NULL)) {
		figure("fork_errors", 1);
		w->rests_until_ns = 1;
		rest(w, 10 * MS);
		return;
	}
	pthread_join(thread, NULL);
	w->rests_until_ns = 1;
	came++;
}

static void w29(void)
{
	add("W29-turnover", turnover, cpus);
}

static void w29_told(void)
{
	figure("came", came);
}

/* W25: one that wakes herd=N with a single call, so that one CPU queues them all. */
static _Atomic unsigned int bell;

static void listen_for_bell(struct worker *w)
{
	unsigned int heard = bell;

	w->rests_until_ns = UINT64_MAX;
	syscall(SYS_futex, &bell, FUTEX_WAIT_PRIVATE, heard, NULL, NULL, 0);
	w->rests_until_ns = 1;
	burn(w, 50);
}

static void ring(struct worker *w)
{
	rest(w, option("ring_ms", 250) * MS);
	bell++;
	syscall(SYS_futex, &bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void w25(void)
{
	add("W25-hog", hog, cpus);
	add("W25-herd", listen_for_bell, option("herd", 150));
	add("W25-ringer", ring, 1);
}

/* W27: short periods of high priority, long bursts of low priority, and hogs between: all make progress. */
static void periodic(struct worker *w)
{
	rest(w, 10 * MS);
	burn(w, 1000);
}

static void bursty(struct worker *w)
{
	rest(w, 150 * MS);
	for (int i = 0; i < 60; i++)
		burn(w, 1000);
}

static void w27(void)
{
	struct worker *w = add("W27-periodic", periodic, cpus);

	for (int i = 0; i < cpus; i++)
		w[i].nice = -5;
	w = add("W27-bursty", bursty, 2 * cpus);
	for (int i = 0; i < 2 * cpus; i++)
		w[i].nice = i % 2 ? 5 : 0;
	add("W27-hog", hog, cpus);
}

/*
 * W30: of three equal hogs on one CPU one is interrupted all the time, by a real-time task that it wakes itself: whoever charges it
 * for what its slice lacks charges each piece of the slice again and again.
 */
static int interruptions[2];

static void interrupted(struct worker *w)
{
	burn(w, option("piece_us", 1000));
	if (write(interruptions[1], "", 1) != 1)
		figure("pipe_errors", 1);
}

static void interrupter(struct worker *w)
{
	char byte;

	w->rests_until_ns = UINT64_MAX;	/* it comes when the other has its turn */
	if (read(interruptions[0], &byte, 1) != 1)
		figure("pipe_errors", 1);
	w->rests_until_ns = 1;
	burn(w, 50);
}

static void w30(void)
{
	int cpu = cpus - 1;
	struct worker *w = add("W30-pulse", interrupter, 1);

	if (pipe(interruptions))
		perror("adversary: pipe");
	w->cpu = cpu;
	w->fifo = 10;
	add("W30-interrupted", interrupted, 1)->cpu = cpu;
	w = add("W30-equal", hog, 2);
	w[0].cpu = w[1].cpu = cpu;
}

const struct workload crowd_workloads[] = {
	{ "W21", w21, NULL }, { "W23", w23, NULL }, { "W25", w25, NULL }, { "W27", w27, NULL },
	{ "W29", w29, w29_told }, { "W29-large", w29, w29_told }, { "W30", w30, NULL }, {},
};
