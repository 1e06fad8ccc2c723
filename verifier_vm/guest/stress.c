// SPDX-License-Identifier: Apache-2.0
/*
 * stress SECONDS: what a policy must survive before anybody measures it. Hogs (twice the CPUs, and one pinned to each),
 * sleepers, yielders, tasks that change their affinity, nice levels, and a storm of forks, all at once.
 *
 * Prints one JSON line: the longest time that any hog, sleeper or yielder went without progress, and the forks done.
 * The watching thread is SCHED_FIFO, a class above sched_ext, so that a starving policy cannot starve its witness.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORKERS 512
#define LOOK_MS 10

enum kind { HOG, PINNED, SLEEPER, YIELDER, WANDERER, FORKER, KINDS };
static const char *const kind_name[KINDS] = { "hog", "pinned", "sleeper", "yielder", "wanderer", "forker" };

static struct worker {
	enum kind kind;
	int cpu, nice;
	pthread_t thread;
	_Atomic uint64_t progress;
	uint64_t seen, seen_at_ns;
} workers[MAX_WORKERS];
static int nr_workers;
static atomic_bool stop;
static bool in_bursts;	/* the clock is virtual */
static atomic_ulong forks, fork_errors;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Some 10 us of CPU time a round; the virtual clock (vclock/README.md) charges them to a no-op, which costs the host nothing. */
static void burn(struct worker *w, int rounds)
{
	volatile uint64_t x = 1;

	while (rounds--) {
		__asm__ volatile("nopl 0x5ced0064(%rax)");
		for (int i = 0; i < (in_bursts ? 1 : 2000); i++)
			x = x * 6364136223846793005ull + 1442695040888963407ull;
	}
	w->progress++;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void fork_once(struct worker *w)
{
	pid_t pid = fork();

	if (pid == 0) {
		burn(w, 3);
		_exit(0);
	}
	if (pid > 0) {
		waitpid(pid, NULL, 0);
		forks++;
	} else {
		fork_errors++;
	}
	w->progress++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), turn = 0;

	setpriority(PRIO_PROCESS, syscall(SYS_gettid), w->nice);
	if (w->kind == PINNED)
		run_on(w->cpu);
	while (!stop) {
		switch (w->kind) {
		case SLEEPER:
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 + w->cpu * 700000 }, NULL);
			burn(w, 1);
			break;
		case YIELDER:
			burn(w, 10);
			sched_yield();
			break;
		case WANDERER:
			run_on(turn++ % cpus);
			burn(w, 20);
			break;
		case FORKER:
			fork_once(w);
			break;
		default:
			burn(w, 20);
		}
	}
	return NULL;
}

static void add(enum kind kind, int n)
{
	static const int nice[] = { 0, 0, 5, -5 };

	for (int i = 0; i < n && nr_workers < MAX_WORKERS; i++, nr_workers++)
		workers[nr_workers] = (struct worker){ .kind = kind, .cpu = i, .nice = kind == HOG ? nice[i % 4] : 0 };
}

/* The longest stretch without progress so far, and who had it. */
static uint64_t look(uint64_t longest, int *who)
{
	for (int i = 0; i < nr_workers; i++) {
		struct worker *w = &workers[i];
		uint64_t now = now_ns(), progress = w->progress;

		if (now - w->seen_at_ns > longest) {
			longest = now - w->seen_at_ns;
			*who = i;
		}
		if (progress != w->seen) {
			w->seen = progress;
			w->seen_at_ns = now;
		}
	}
	return longest;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), who = 0;
	uint64_t start = now_ns(), longest = 0, idle = 0;
	const char *clock = getenv("SCHEDCP_CLOCK");

	in_bursts = clock && !strcmp(clock, "virtual");
	/* Threads inherit the class of their creator: the workers are made before the watcher is promoted. */
	add(HOG, 2 * cpus);
	add(PINNED, cpus);
	add(SLEEPER, 2 * cpus);
	add(YIELDER, 2);
	add(WANDERER, 1);
	add(FORKER, 1);
	for (int i = 0; i < nr_workers; i++) {
		workers[i].seen_at_ns = now_ns();
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
			fprintf(stderr, "stress: cannot make thread %d: %s\n", i, strerror(errno));
			return 1;
		}
	}
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 40 });
	while (now_ns() - start < seconds * 1e9) {
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
		longest = look(longest, &who);
	}
	for (int i = 0; i < nr_workers; i++)
		idle += workers[i].progress == 0;
	printf("{\"max_gap_ms\":%.1f,\"gap_of\":\"%s\",\"workers\":%d,\"without_progress\":%lu,\"forks\":%lu,\"fork_errors\":%lu}\n",
	       longest / 1e6, kind_name[workers[who].kind], nr_workers, (unsigned long)idle, (unsigned long)forks,
	       (unsigned long)fork_errors);
	fflush(stdout);
	_exit(fork_errors != 0);	/* not joining: a stalled worker must not keep the witness */
}
