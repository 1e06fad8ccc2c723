// SPDX-License-Identifier: Apache-2.0
/*
 * W31 and W32 of `adversary`: what a policy's own constants speak of. Tasks with the numbers, names and nice levels that it
 * compares with, and times that are further apart than it takes for long.
 */
#include "adversary.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST 8
#define FIRST_LEVEL 20	/* level1=0 is nice -20 */
#define LEVEL_IDLE 40	/* SCHED_IDLE */

static double numbered(const char *name, int i)
{
	char full[32];

	snprintf(full, sizeof(full), "%s%d", name, i);
	return option(full, -1);
}

pid_t fork_as(pid_t number)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&number, .set_tid_size = 1 };
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0 && errno == EEXIST) {	/* somebody has it: one of the kernel's threads, say */
		figure("numbers_taken", 1);
		pid = fork();
	}
	return pid;
}

/* Turns of a hog, then short ones with sleep between. */
static void hog_then_wake(struct worker *w)
{
	if (w->progress % 300 < 200) {
		burn(w, 400);
	} else {
		rest(w, 2 * MS);
		burn(w, 100);
	}
}

static void *beside(void *w)
{
	prctl(PR_SET_NAME, ((struct worker *)w)->group);
	while (!stop)
		hog_then_wake(w);
	return NULL;
}

/* One with the number as its own, one with it as its process's, one with it as its parent's. */
static void numbered_turn(struct worker *w)
{
	static struct worker others[2];	/* each process has its own; nobody watches them but the kernel */
	pthread_t thread;

	if (!w->state) {
		w->state = 1;
		others[0] = others[1] = *w;
		pthread_create(&thread, NULL, beside, &others[0]);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			beside(&others[1]);
			_exit(0);
		}
	}
	hog_then_wake(w);
}

static void idle_turn(struct worker *w)
{
	if (!w->state) {
		w->state = 1;
		sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){ 0 });
	}
	if (w->index % 2)
		hog(w);
	else
		hog_then_wake(w);
}

/* What is light may wait long for what is heavier, and rightly so: it is met among its like. */
static void at_level(int level)
{
	struct worker *w = add("W31-level", level == LEVEL_IDLE ? idle_turn : hog_then_wake, 2);

	for (int i = 0; i < 2 && level != LEVEL_IDLE; i++)
		w[i].nice = level - FIRST_LEVEL;
	w = add("W31-hog", level == LEVEL_IDLE ? idle_turn : hog, 2 * cpus);
	for (int i = 0; i < 2 * cpus && level > FIRST_LEVEL && level != LEVEL_IDLE; i++)
		w[i].nice = level - FIRST_LEVEL;
}

/*
 * W31: tasks with pid1=N, pid2=N…, with the names name1_0=N, name1_1=N… (four bytes each, the first the lowest), and at
 * level=N (20 more than the nice level). Beside two hogs a CPU, so that one of those
 * is always in a queue with them.
 */
static void w31(void)
{
	static char names[MOST][16];

	if (option("pid1", 0) > 0)
		write_file("/proc/sys/kernel/pid_max", "4194304", "pid_max_errors");
	for (int i = 1; i <= MOST; i++) {
		struct worker *w;

		if (numbered("pid", i) > 0) {
			w = add("W31-number", numbered_turn, 1);
			w->process = true;
			w->number = numbered("pid", i);
		}
	}
	for (int i = 1; i <= MOST; i++) {
		char part[16];

		for (int k = 0; k < 4; k++) {
			snprintf(part, sizeof(part), "name%d_%d", i, k);
			uint32_t bytes = option(part, 0);
			memcpy(names[i - 1] + 4 * k, &bytes, 4);
		}
		names[i - 1][15] = '\0';
		if (names[i - 1][0])
			add("W31-name", hog_then_wake, 1)->called = names[i - 1];
	}
	if (option("level", -1) >= 0)
		at_level(option("level", 0));
	else
		add("W31-hog", hog, 2 * cpus);
}

/* W32: workers that sleep for nap_s=N and then want all CPUs. */
static void napper(struct worker *w)
{
	if (!w->state) {
		w->state = 1;
		rest(w, option("nap_s", 0) * 1e9);
	}
	hog_then_wake(w);
}

static void w32(void)
{
	add("W32-napper", napper, 2 * cpus);
}

void nap(double seconds)
{
	if (seconds <= 0)
		return;
	be_quiet(true);
	nanosleep(&(struct timespec){ .tv_sec = seconds }, NULL);
	be_quiet(false);
	began_ns = ended_ns = now_ns();
}

const struct workload chosen_workloads[] = {
	{ "W31", w31, NULL }, { "W32", w32, NULL }, {},
};
