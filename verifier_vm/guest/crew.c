// SPDX-License-Identifier: Apache-2.0
/* The crew of `adversary`: its threads and processes from start to report, and the longest time each went without progress. */
#include "adversary.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES 65536
#define START_LIMIT_NS (10000 * MS)
#define POLICY_EXT 7	/* SCHED_EXT */

struct worker *workers;
int nr_workers, cpus;
_Atomic bool stop;

static bool partial;
static volatile sig_atomic_t told_to_end;
static _Atomic unsigned int *go;	/* a futex, shared with child processes */
uint64_t began_ns, ended_ns;

static void *shared(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		perror("adversary: mmap");
		exit(1);
	}
	return at;
}

struct worker *add(const char *group, void (*turn)(struct worker *w), int n)
{
	int first = nr_workers;

	if (!workers) {
		workers = shared(sizeof(*workers) * MAX_WORKERS);
		go = shared(sizeof(*go));
	}
	for (int i = 0; i < n && nr_workers < MAX_WORKERS; i++)
		workers[nr_workers++] = (struct worker){ .group = group, .turn = turn, .cpu = FLOATING, .index = i };
	return &workers[first];
}

/* With SCX_OPS_SWITCH_PARTIAL a policy has only those tasks that ask for it. */
static bool policy_is_partial(void)
{
	FILE *file = fopen("/sys/kernel/sched_ext/switch_all", "re");
	bool all = !file || fgetc(file) != '0';

	if (file)
		fclose(file);
	return !all && !access("/sys/kernel/sched_ext/root/ops", F_OK);
}

int ordinary_class(void)
{
	return partial ? POLICY_EXT : SCHED_OTHER;
}

static void settle_down(const struct worker *w)
{
	if (w->nice)
		setpriority(PRIO_PROCESS, w->tid, w->nice);
	if (w->cpu != FLOATING)
		bind_to(0, w->cpu);
	if (w->fifo)
		sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = w->fifo });
	else if (partial)
		syscall(SYS_sched_setscheduler, 0, POLICY_EXT, &(struct sched_param){ 0 });
}

static void work(struct worker *w)
{
	w->tid = syscall(SYS_gettid);
	prctl(PR_SET_NAME, w->called ? w->called : w->group);
	w->ready = true;
	while (!*go)
		syscall(SYS_futex, go, FUTEX_WAIT, 0, NULL, NULL, 0);
	/* Only now: who is lost for being bound is to be seen so, not to keep all others from starting. */
	settle_down(w);
	while (!stop) {
		w->turn(w);
		w->progress++;
	}
	w->ready = false;
}

static void *work_in_thread(void *w)
{
	work(w);
	return NULL;
}

static bool start(struct worker *w, const pthread_attr_t *attr)
{
	pthread_t thread;
	pid_t pid;

	if (!w->process)
		return !pthread_create(&thread, attr, work_in_thread, w);
	pid = w->number ? fork_as(w->number) : fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work(w);
		_exit(0);
	}
	return pid > 0;
}

/* "run delay switches" of /proc/TID/schedstat, in ns; all 0 when the task is gone. */
static void read_schedstat(pid_t tid, uint64_t at[3])
{
	unsigned long run = 0, delay = 0, switches = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", tid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%lu %lu %lu", &run, &delay, &switches) != 3)
		run = delay = switches = 0;
	if (file)
		fclose(file);
	at[0] = run;
	at[1] = delay;
	at[2] = switches;
}

/* Adds what schedstat says now (`sign` 1) or takes it away (-1). */
static void book(int sign)
{
	for (int i = 0; i < nr_workers; i++) {
		uint64_t at[3];

		read_schedstat(workers[i].tid, at);
		workers[i].run_ns += sign * at[0];
		workers[i].delay_ns += sign * at[1];
		workers[i].switches += sign * at[2];
		workers[i].worked_us = workers[i].work_us;
	}
}

bool start_crew(void)
{
	uint64_t start_ns = now_ns();
	pthread_attr_t attr;
	int i = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	partial = policy_is_partial();
	figure("partial", partial);
	/* Threads inherit the class of their creator: the crew is made before the watcher is promoted. */
	for (i = 0; i < nr_workers; i++) {
		if (!start(&workers[i], &attr)) {
			fprintf(stderr, "adversary: cannot start worker %d of %d: %s\n", i, nr_workers, strerror(errno));
			figure("fork_errors", 1);
			return false;
		}
	}
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = WATCHER_PRIORITY });
	for (i = 0; i < nr_workers; ) {
		if (workers[i].ready)
			i++;
		else if (now_ns() - start_ns > START_LIMIT_NS)
			break;
		else
			usleep(1000);
	}
	figure("not_started", nr_workers - i);
	for (int j = 0; j < nr_workers; j++)
		if (workers[j].cgroup && workers[j].tid)
			move_to_cgroup(workers[j].tid, workers[j].cgroup);
	book(-1);
	began_ns = ended_ns = now_ns();
	figure("start_ms", (began_ns - start_ns) / 1e6);
	for (int j = 0; j < nr_workers; j++)
		workers[j].seen_at_ns = began_ns;
	*go = 1;
	syscall(SYS_futex, go, FUTEX_WAKE, nr_workers, NULL, NULL, 0);
	return i == nr_workers;
}

/* The longest stretch without progress of anybody so far, in ns; a rest that was meant is none. */
static uint64_t look(void)
{
	uint64_t longest = 0;

	for (int i = 0; i < nr_workers; i++) {
		struct worker *w = &workers[i];
		uint64_t progress = w->progress, rests_until = w->rests_until_ns, now = now_ns();

		if (progress != w->seen) {
			w->seen = progress;
			w->seen_at_ns = now;
			continue;
		}
		if (rests_until > w->seen_at_ns)
			w->seen_at_ns = rests_until;
		if (now > w->seen_at_ns && now - w->seen_at_ns > w->gap_ns)
			w->gap_ns = now - w->seen_at_ns;
		if (w->gap_ns > longest)
			longest = w->gap_ns;
	}
	return longest;
}

/* init says so when the policy has fallen off: what was seen until then is evidence. */
static void end_early(int signal)
{
	(void)signal;
	told_to_end = 1;
}

/* Until the time is over, or somebody went without progress for so long that no more is to be learnt. */
void watch_crew(double seconds, double limit_ms)
{
	uint64_t step_ns = nr_workers > 500 ? 50 * MS : 20 * MS;
	bool stuck = false;

	signal(SIGTERM, end_early);
	while (now_ns() - began_ns < seconds * 1e9) {
		nanosleep(&(struct timespec){ .tv_nsec = step_ns }, NULL);
		stuck = look() > limit_ms * MS;
		if (stuck || told_to_end)
			break;
	}
	if (stuck)
		write_down();
	ended_ns = now_ns();
	book(1);
}

/* Those that change the machine end what they are at: half done, it would look like an error. */
void dismiss_crew(void)
{
	uint64_t limit = now_ns() + 1000 * MS;

	stop = true;
	for (int i = 0; i < nr_workers; i++)
		while (workers[i].fifo == DIRECTOR_PRIORITY && workers[i].ready && now_ns() < limit)
			usleep(1000);
}
