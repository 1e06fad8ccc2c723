/* SPDX-License-Identifier: GPL-2.0-only */
/* What the probe `tasks.bpf.c` keeps and its reader takes apart (tasks/observing/layout.py): no padding but what is named. */
#ifndef SCHEDCP_HOST_TASKS_H
#define SCHEDCP_HOST_TASKS_H

#define TASKS 65536 /* a task's place is its id modulo this */
#define CPUS 1024
#define PAIRS 4096
#define BUCKETS 32 /* bucket i counts 2^i to 2^(i+1) us, bucket 0 all below 2 us */
#define FANS 8 /* bucket i counts bursts with 2^(i-1) to 2^i - 1 wake-ups, bucket 0 those with none */
#define COUNTS 64 /* runnable tasks at one time; the last is that many or more */
#define COMM 16

enum task_state { UNKNOWN, RUNNING, WAITING, ASLEEP };

/* How far apart two CPUs are. */
enum distance { SAME_CPU, SAME_CORE, SAME_LLC, SAME_NODE, APART, DISTANCES };

struct task {
	u32 pid;
	u32 cpu; /* on which it ran last, plus 1 */
	u8 state, named, counted, whole; /* counted: among the runnable; whole: its burst was seen from its wake-up */
	u32 waker;
	u64 since; /* when its state began, ns */
	u64 idle_ns; /* how long some CPU had been idle by then */
	u64 burst_ns, life_ns, born;
	u32 wakes; /* by it in this burst */
	u32 pending, pending_pongs, unused; /* wake-ups by `waker` that are not in `pairs` yet */
	char comm[COMM], waker_comm[COMM];
};

struct counts {
	u64 switches, voluntary, preempted, wakeups, redundant, missed, ended, born;
	u64 run_ns, sleep_ns, delay_ns, delay_idle_ns;
	u64 lost_tasks, lost_pairs, samples, unused;
	u64 migrations[8], wakes[8]; /* by enum distance */
	u64 fans[FANS];
	u64 bursts[BUCKETS], bursts_ns[BUCKETS], delays[BUCKETS], delays_ns[BUCKETS], delays_idle_ns[BUCKETS];
	u64 lives[BUCKETS], runnable[COUNTS];
};

struct shared {
	s64 idle_cpus, runnable;
	u64 idle_since, idle_ns; /* while at least one CPU is idle; and in all before */
};

struct cpu {
	u32 core, llc, node, idle; /* idle: 0 not known yet, 1 idle, 2 busy */
};

struct options {
	u32 everyone, unused;
	u64 since; /* all programs are attached, and count from then on, ns; 0: they do not */
};

struct pair {
	char waker[COMM], wakee[COMM];
};

struct pair_counts {
	u64 wakes, pongs; /* pongs: the waker had itself been woken by the wakee before */
};

#endif
