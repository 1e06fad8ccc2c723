// SPDX-License-Identifier: Apache-2.0
/* A workload of `adversary` in which processes are stopped, traced, frozen and killed, and end in part, while they run or wait. */
#include "adversary.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * W26: processes are stopped and go on (by signal, by ptrace, by their cgroup's freezer), are killed, whether they run or wait,
 * and live on without their first thread; those that are killed are made anew. Beside hogs, so that most of them wait.
 */
#define JOB "/sys/fs/cgroup/job"	/* where run.c put this program */
#define FROZEN JOB "/frozen"
static struct worker *stopped;

static void write_pid(const char *path, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	write_file(path, text, "freeze_errors");
}

/* Whom it waits for has to run first, and may not: that is no gap of the waiter's. */
static void wait_for(pid_t pid, struct worker *w)
{
	w->rests_until_ns = UINT64_MAX;
	waitpid(pid, NULL, __WALL);
	w->rests_until_ns = 1;
}

static void trace(pid_t pid, struct worker *w)
{
	if (!ptrace(PTRACE_SEIZE, pid, 0, 0) && !ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		wait_for(pid, w);
}

static void freeze(pid_t pid, struct worker *w)
{
	write_pid(FROZEN "/cgroup.procs", pid);
	write_file(FROZEN "/cgroup.freeze", "1", "freeze_errors");
	rest(w, 8 * MS);
	write_file(FROZEN "/cgroup.freeze", "0", "freeze_errors");
	write_pid(JOB "/cgroup.procs", pid);
}

/* Killed in the middle of a burst, on a CPU or in a queue; not a worker, whose end would look like a stall. */
static void kill_one(struct worker *w)
{
	pid_t pid = fork();

	if (pid == 0) {
		set_class(0, ordinary_class(), 0);
		for (;;)
			burn(w, 400);
	}
	rest(w, 1 * MS + draw(w) % (8 * MS));
	if (pid > 0) {
		kill(pid, SIGKILL);
		wait_for(pid, w);
	}
}

/*
 * One that waits is queued anew, becomes real-time, which no policy has, and ends: a number kept for it leads to nobody. All on one
 * CPU, and above its hogs, so that its policy is not asked for a task before the number is gone.
 */
static void kill_in_another_class(struct worker *w)
{
	pid_t pid;

	bind_to(0, w->progress / 7 % cpus);
	pid = fork();
	if (pid == 0) {
		set_class(0, ordinary_class(), 0);
		for (;;)
			burn(w, 400);
	}
	rest(w, 2 * MS);
	if (pid > 0) {
		setpriority(PRIO_PROCESS, pid, 1);
		set_class(pid, SCHED_FIFO, DIRECTOR_PRIORITY - 1);
		kill(pid, SIGKILL);
		wait_for(pid, w);
	}
	bind_to_all(0);
}

/*
 * One that has all but ended is queued anew: its parent, real-time on the same CPU, runs as soon as it is told of the end, before
 * the child's last steps, and then takes the child's number away. The kernel spares policies such tasks unless they ask for them.
 */
static void queue_while_it_ends(struct worker *w)
{
	siginfo_t told;
	pid_t pid;

	bind_to(0, w->progress / 7 % cpus);
	pid = fork();
	if (pid == 0) {
		set_class(0, ordinary_class(), 0);
		_exit(0);
	}
	if (pid > 0) {
		w->rests_until_ns = UINT64_MAX;
		waitid(P_PID, pid, &told, WEXITED | WNOWAIT | __WALL);
		setpriority(PRIO_PROCESS, pid, 1);
		wait_for(pid, w);
	}
	bind_to_all(0);
}

/*
 * A process that lives on when its first thread has ended: that one is gone for its policy, and its number is still the group's of
 * a task that comes to the policy, waits and wakes. It ends as real-time, so that the other is the only task to be queued.
 */
static void *survive_first(void *)
{
	struct worker own = { 0 };	/* the director's is shared: what it is at would be told by two */

	rest(&own, 2 * MS);
	set_class(0, ordinary_class(), 0);
	for (;;) {
		burn(&own, 400);
		rest(&own, 1 * MS);
	}
	return NULL;
}

static void end_first_thread(struct worker *w)
{
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t other;

		if (pthread_create(&other, NULL, survive_first, NULL))
			_exit(1);
		syscall(SYS_exit, 0);	/* of this thread alone */
	}
	rest(w, 8 * MS);
	if (pid > 0) {
		kill(pid, SIGKILL);
		wait_for(pid, w);
	}
}

static void stop_and_go(struct worker *w)
{
	struct worker *victim = &stopped[w->progress % (2 * cpus)];

	victim->rests_until_ns = UINT64_MAX;
	switch (w->progress % 7) {
	case 0:
		kill(victim->tid, SIGSTOP);
		rest(w, 8 * MS);
		kill(victim->tid, SIGCONT);
		break;
	case 1:
		trace(victim->tid, w);
		rest(w, 4 * MS);
		ptrace(PTRACE_DETACH, victim->tid, 0, 0);
		break;
	case 2:
		freeze(victim->tid, w);
		break;
	case 3:
		kill_in_another_class(w);
		break;
	case 4:
		queue_while_it_ends(w);
		break;
	case 5:
		end_first_thread(w);
		break;
	default:
		kill_one(w);
	}
	victim->rests_until_ns = now_ns();
	rest(w, 4 * MS);
}

static void w26(void)
{
	int n = 2 * cpus;

	if (mkdir(FROZEN, 0755) && errno != EEXIST)
		figure("mkdir_errors", 1);
	stopped = add("W26-stopped", hog, n);
	for (int i = 0; i < n; i++)
		stopped[i].process = true;
	add("W26-hog", hog, cpus);
	add("W26-stopper", stop_and_go, 1)->fifo = DIRECTOR_PRIORITY;
}

/* All were dismissed: what still is in the cgroup for the moment is moved, or it could not be removed. */
static void w26_told(void)
{
	write_file(FROZEN "/cgroup.freeze", "0", "freeze_errors");
	for (int i = 0; i < nr_workers; i++)
		if (workers[i].process && workers[i].ready)
			write_pid(JOB "/cgroup.procs", workers[i].tid);
	rmdir(FROZEN);
}

const struct workload stop_workloads[] = {
	{ "W26", w26, w26_told }, {},
};
