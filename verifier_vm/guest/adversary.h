/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workloads of `adversary` are made of: a crew of threads that burn, sleep and wake, and one that watches them.
 *
 * The watcher is SCHED_FIFO, a class above sched_ext: a policy that starves everything cannot starve its witness. Times are
 * the guest's; under the virtual clock (vclock/README.md) a burst of CPU time is charged to a no-op and costs the host nothing.
 */
#ifndef SCHEDCP_ADVERSARY_H
#define SCHEDCP_ADVERSARY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_WORKERS 8192
#define FLOATING -1
#define US 1000ull
#define MS 1000000ull

enum { WATCHER_PRIORITY = 40, DIRECTOR_PRIORITY = 30 };

struct worker {
	const char *group;		/* reported together; also the thread's name, so that the kernel's messages tell it */
	void (*turn)(struct worker *w);	/* again and again; each call is progress */
	int cpu, nice, fifo;		/* fifo: real-time priority, 0 for an ordinary thread */
	bool process;			/* a process of its own, which can be moved between cgroups */
	pid_t number;			/* of its process, 0: any */
	const char *cgroup;		/* of its process before the time that counts, NULL: where it was made */
	const char *called;		/* its name, NULL: its group's */
	unsigned int index;		/* in its group */
	uint64_t state;			/* the turn's own */
	pid_t tid;
	_Atomic bool ready;
	_Atomic uint64_t progress, work_us, rests_until_ns;
	uint64_t seen, seen_at_ns, gap_ns;		/* the watcher's */
	uint64_t run_ns, delay_ns, switches, worked_us;	/* in the time that counts; the first three from schedstat */
};

extern struct worker *workers;	/* in memory shared with child processes */
extern int nr_workers, cpus;
extern _Atomic bool stop;
extern uint64_t began_ns, ended_ns;	/* the time that counts */

/* Crew (crew.c). */
struct worker *add(const char *group, void (*turn)(struct worker *w), int n);	/* the first of n alike */
bool start_crew(void);
void watch_crew(double seconds, double limit_ms);
void write_down(void);	/* who runs and who waits where, by the kernel: init reads it when the policy goes */
void dismiss_crew(void);
int ordinary_class(void);	/* in which the policy has a task: SCHED_OTHER, or SCHED_EXT if it has only those */
void report_crew(const char *workload);		/* report.c, as figure() */
void figure(const char *name, double value);		/* one more number for the report; added up if it is there */
double option(const char *name, double fallback);	/* NAME=VALUE of the command line */

/* What turns do (burn.c). */
uint64_t now_ns(void);
bool clock_is_virtual(void);
void burn(struct worker *w, unsigned int us);
void rest(struct worker *w, uint64_t ns);		/* sleeps on purpose: no gap while it lasts */
void hog(struct worker *w);
void bind_to(pid_t tid, int cpu);
void bind_to_all(pid_t tid);
void set_class(pid_t tid, int class, int priority);
uint64_t draw(struct worker *w);			/* a pseudo-random number of its own */
void write_file(const char *path, const char *text, const char *error_figure);

struct samples {		/* latencies, in ns */
	uint64_t at[1 << 14];
	_Atomic unsigned int n;
};
void sample(struct samples *s, uint64_t ns);
void report_samples(const struct samples *s, const char *name);	/* figures NAME_p50_us, _p99_us, _max_us, _n */

int take_last_cpu(void);	/* 0 if it is offline afterwards, or this is no guest for that */

pid_t fork_as(pid_t number);	/* fork(), the child with that number if it is free */
void be_quiet(bool quiet);	/* the kernel, while nobody does anything (quiet.c) */
void nap(double seconds);	/* of the watcher, before the time that counts */

int weigh_cgroups(void);	/* 0 if they have their weights afterwards */
void move_to_cgroup(pid_t pid, const char *group);

/* A workload: `crew` adds the workers; `told` adds figures at the end. */
struct workload {
	const char *name;
	void (*crew)(void);
	void (*told)(void);
};
extern const struct workload hog_workloads[], wake_workloads[], churn_workloads[], cgroup_workloads[];
extern const struct workload change_workloads[], stop_workloads[], crowd_workloads[], pinned_workloads[], chosen_workloads[];
extern const struct workload side_workloads[];

#endif
