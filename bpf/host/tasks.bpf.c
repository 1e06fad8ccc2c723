// SPDX-License-Identifier: GPL-2.0-only
/*
 * tasks - what chosen tasks of this host do to its scheduler, added up in the kernel
 *
 * One text for two loaders, which differ in how it is entered. Where the kernel has BTF, clang makes an object that takes
 * the tracepoints' own arguments (tp_btf), relocated by that BTF. Where it has none, BCC compiles it against the formats of
 * the tracepoints, of which no kernel header is needed; LOOKUP and UPDATE are then made into its method calls
 * (tasks/observing/bcc_probe.py). Those programs return 1: with 0 perf would not get the events that they have seen.
 *
 * A task's place is its id modulo TASKS: an array costs a tenth of a hash per event. Two that meet are counted as lost.
 * `shared` has several writers and no lock: what it says of idle CPUs is off by at most the time to somebody's next switch.
 */
#ifdef SCHEDCP_BCC
#define __always_inline inline __attribute__((always_inline))
#define MAPPED_ARRAY(name, V, n) BPF_F_TABLE("array", u32, V, name, n, BPF_F_MMAPABLE)
#else
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#define BPF_MAP(kind, name, K, V, n) \
	struct { __uint(type, kind); __uint(max_entries, n); __type(key, K); __type(value, V); } name SEC(".maps")
#define BPF_ARRAY(name, V, n) BPF_MAP(BPF_MAP_TYPE_ARRAY, name, u32, V, n)
#define MAPPED_ARRAY(name, V, n) \
	struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, n); __uint(map_flags, BPF_F_MMAPABLE); \
		 __type(key, u32); __type(value, V); } name SEC(".maps")
#define BPF_PERCPU_ARRAY(name, V, n) BPF_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, name, u32, V, n)
#define BPF_HASH(name, K, V, n) BPF_MAP(BPF_MAP_TYPE_HASH, name, K, V, n)
#define LOOKUP(map, key) bpf_map_lookup_elem(&map, key)
#define UPDATE(map, key, value) bpf_map_update_elem(&map, key, value, BPF_ANY)
char _license[] SEC("license") = "GPL";
#endif

#include "tasks.h"

#define ADD(place, n) __sync_fetch_and_add(&(place), (n))

/* Written through memory: whoever is preempted in bpf(2) keeps all programs off his CPU until he goes on. */
MAPPED_ARRAY(options, struct options, 1);
BPF_ARRAY(tasks, struct task, TASKS);
BPF_PERCPU_ARRAY(counts, struct counts, 1);
BPF_ARRAY(shared, struct shared, 1);
BPF_ARRAY(cpus, struct cpu, CPUS);
BPF_HASH(pairs, struct pair, struct pair_counts, PAIRS);

enum leaving { PREEMPTED, SLEEPS, DEAD };

static __always_inline u32 bucket_of(u64 ns)
{
	u64 us = ns / 1000;
	u32 i = 0;

	if (us >> 16) { us >>= 16; i += 16; }
	if (us >> 8) { us >>= 8; i += 8; }
	if (us >> 4) { us >>= 4; i += 4; }
	if (us >> 2) { us >>= 2; i += 2; }
	return (i + (us > 1)) & (BUCKETS - 1);
}

/* The task of this id, if it is followed. */
static __always_inline struct task *followed(u32 pid)
{
	u32 place = pid % TASKS;
	struct task *t = LOOKUP(tasks, &place);

	return t && pid && t->pid == pid ? t : NULL;
}

/* A place for a task that was not seen before. */
static __always_inline struct task *follow(u32 pid, struct counts *c)
{
	u32 place = pid % TASKS;
	struct task *t = LOOKUP(tasks, &place);

	if (!t || !pid)
		return NULL;
	if (t->pid) {
		c->lost_tasks++;
		return NULL;
	}
	__builtin_memset(t, 0, sizeof(*t));
	t->pid = pid;
	return t;
}

static __always_inline struct task *wanted(u32 pid, struct options *o, struct counts *c)
{
	struct task *t = followed(pid);

	return t || !o->everyone ? t : follow(pid, c);
}

/* How long, up to now, at least one CPU was idle. */
static __always_inline u64 idle_until(struct shared *s, u64 now)
{
	u64 since = s->idle_since;

	return s->idle_ns + (since && now > since ? now - since : 0);
}

static __always_inline void note_idle(struct shared *s, struct cpu *cpu, bool idle, u64 now)
{
	u64 since;

	if (cpu->idle != (idle ? 1 : 2)) {
		if (idle)
			ADD(s->idle_cpus, 1);
		else if (cpu->idle == 1)
			ADD(s->idle_cpus, -1);
		cpu->idle = idle ? 1 : 2;
	}
	since = s->idle_since;
	if (s->idle_cpus > 0) {
		if (!since)
			s->idle_since = now;
	} else if (since) {
		s->idle_since = 0;
		if (now > since)
			ADD(s->idle_ns, now - since);
	}
}

static __always_inline u32 distance(u32 from, u32 to)
{
	struct cpu *a, *b;

	if (from == to)
		return SAME_CPU;
	a = LOOKUP(cpus, &from);
	b = LOOKUP(cpus, &to);
	if (!a || !b || a->node != b->node)
		return APART;
	if (a->core == b->core)
		return SAME_CORE;
	return a->llc == b->llc ? SAME_LLC : SAME_NODE;
}

static __always_inline void begin_waiting(struct task *t, struct shared *s, u64 now)
{
	t->state = WAITING;
	t->since = now;
	t->idle_ns = idle_until(s, now);
	if (!t->counted) {
		t->counted = 1;
		ADD(s->runnable, 1);
	}
}

static __always_inline void flush_pair(struct task *t, struct counts *c)
{
	struct pair key;
	struct pair_counts fresh, *known;

	if (!t->pending)
		return;
	__builtin_memcpy(key.waker, t->waker_comm, COMM);
	__builtin_memcpy(key.wakee, t->comm, COMM);
	known = LOOKUP(pairs, &key);
	if (known) {
		ADD(known->wakes, t->pending);
		ADD(known->pongs, t->pending_pongs);
	} else {
		fresh.wakes = t->pending;
		fresh.pongs = t->pending_pongs;
		if (UPDATE(pairs, &key, &fresh))
			c->lost_pairs += t->pending;
	}
	t->pending = t->pending_pongs = 0;
}

static __always_inline void end_burst(struct task *t, struct counts *c)
{
	u32 wakes = t->wakes, fan = 0;

	if (t->whole) {
		u32 i = bucket_of(t->burst_ns);

		c->bursts[i]++;
		c->bursts_ns[i] += t->burst_ns;
		fan = wakes >= 64 ? 7 : wakes >= 32 ? 6 : wakes >= 16 ? 5 : wakes >= 8 ? 4 : wakes >= 4 ? 3
		    : wakes >= 2 ? 2 : wakes;
		c->fans[fan]++;
	}
	t->burst_ns = 0;
	t->wakes = 0;
	t->whole = 0;
}

static __always_inline void leave(struct task *t, enum leaving left_as, u64 began, struct shared *s, struct counts *c, u64 now)
{
	u64 since = t->since > began ? t->since : began; /* it may have been there before */
	u64 ran = t->state == RUNNING && now > since ? now - since : 0;

	c->run_ns += ran;
	t->burst_ns += ran;
	t->life_ns += ran;
	c->switches++;
	if (left_as == PREEMPTED) {
		c->preempted++;
		begin_waiting(t, s, now);
		return;
	}
	c->voluntary++;
	end_burst(t, c);
	if (t->counted) {
		t->counted = 0;
		ADD(s->runnable, -1);
	}
	t->state = ASLEEP;
	t->since = now;
	if (left_as == DEAD) {
		c->ended++;
		if (t->born)
			c->lives[bucket_of(t->life_ns)]++;
		flush_pair(t, c);
		t->pid = 0;
	}
}

static __always_inline void enter(struct task *t, u32 cpu, struct shared *s, struct counts *c, u64 now)
{
	if (t->state == WAITING && now >= t->since) {
		u64 delay = now - t->since, idle = idle_until(s, now) - t->idle_ns;
		u32 i = bucket_of(delay);

		if (idle > delay) /* also one that is below zero, by a race */
			idle = (s64)idle < 0 ? 0 : delay;
		c->delays[i]++;
		c->delays_ns[i] += delay;
		c->delays_idle_ns[i] += idle;
		c->delay_ns += delay;
		c->delay_idle_ns += idle;
	} else if (t->state == ASLEEP) {
		c->missed++;
	}
	if (!t->counted) {
		t->counted = 1;
		ADD(s->runnable, 1);
	}
	if (t->cpu && t->cpu != cpu + 1)
		c->migrations[distance(t->cpu - 1, cpu) & 7]++;
	t->cpu = cpu + 1;
	t->state = RUNNING;
	t->since = now;
}

static __always_inline void on_switch(u32 prev, enum leaving left_as, u32 next, const char *comm)
{
	u32 zero = 0, here = bpf_get_smp_processor_id();
	struct options *o = LOOKUP(options, &zero);
	struct counts *c = LOOKUP(counts, &zero);
	struct shared *s = LOOKUP(shared, &zero);
	struct cpu *cpu = LOOKUP(cpus, &here);
	struct task *left, *t;
	u64 now;

	if (!o || !o->since || !c || !s || !cpu)
		return;
	left = wanted(prev, o, c);
	t = wanted(next, o, c);
	if (!left && !t && prev && next) /* of others: the clock is half of what this costs */
		return;
	now = bpf_ktime_get_ns();
	note_idle(s, cpu, !next, now);
	if (left)
		leave(left, left_as, o->since, s, c, now);
	if (t) {
		if (!t->named) {
			t->named = 1;
			bpf_probe_read_kernel(t->comm, COMM, comm);
		}
		enter(t, here, s, c, now);
	}
}

static __always_inline void on_waking(u32 pid, const char *comm)
{
	u32 zero = 0, waker = bpf_get_current_pid_tgid();
	struct options *o = LOOKUP(options, &zero);
	struct counts *c = LOOKUP(counts, &zero);
	struct shared *s = LOOKUP(shared, &zero);
	struct task *t, *by;
	u64 now, since;

	if (!o || !o->since || !c || !s)
		return;
	t = wanted(pid, o, c);
	if (!t)
		return;
	c->wakeups++;
	if (t->state == RUNNING || t->state == WAITING) {
		c->redundant++;
		return;
	}
	now = bpf_ktime_get_ns();
	since = t->since > o->since ? t->since : o->since;
	if (t->state == ASLEEP && now > since)
		c->sleep_ns += now - since;
	begin_waiting(t, s, now);
	t->burst_ns = 0;
	t->whole = 1;
	if (!t->named) {
		t->named = 1;
		bpf_probe_read_kernel(t->comm, COMM, comm);
	}
	if (t->cpu)
		c->wakes[distance(t->cpu - 1, bpf_get_smp_processor_id()) & 7]++;
	if (t->waker != waker || !t->pending) {
		flush_pair(t, c);
		t->waker = waker;
		__builtin_memset(t->waker_comm, 0, COMM);
		if (waker)
			bpf_get_current_comm(t->waker_comm, COMM);
	}
	t->pending++;
	by = followed(waker);
	if (by) {
		by->wakes++;
		if (by->waker == pid)
			t->pending_pongs++;
	}
}

static __always_inline void on_newtask(u32 pid, const char *comm)
{
	u32 zero = 0;
	struct counts *c = LOOKUP(counts, &zero);
	struct shared *s = LOOKUP(shared, &zero);
	struct options *o = LOOKUP(options, &zero);
	struct task *t;

	if (!c || !s || !o || !o->since || !(o->everyone || followed(bpf_get_current_pid_tgid())))
		return;
	t = followed(pid) ? NULL : follow(pid, c);
	if (!t)
		return;
	c->born++;
	t->born = 1;
	t->named = 1;
	t->whole = 1;
	bpf_probe_read_kernel(t->comm, COMM, comm);
	begin_waiting(t, s, bpf_ktime_get_ns());
}

static __always_inline void on_rename(u32 pid, const char *comm)
{
	u32 zero = 0;
	struct options *o = LOOKUP(options, &zero);
	struct counts *c = LOOKUP(counts, &zero);
	struct task *t = followed(pid);

	if (o && o->since && c && t) {
		flush_pair(t, c);
		bpf_probe_read_kernel(t->comm, COMM, comm);
	}
}

#ifdef SCHEDCP_BCC
TRACEPOINT_PROBE(sched, sched_switch)
{
	long state = args->prev_state; /* 0x100: preempted; 0x30: EXIT_DEAD, EXIT_ZOMBIE */

	on_switch(args->prev_pid, state & 0x30 ? DEAD : state & 0xff ? SLEEPS : PREEMPTED, args->next_pid, args->next_comm);
	return 1;
}

TRACEPOINT_PROBE(sched, sched_waking)
{
	on_waking(args->pid, args->comm);
	return 1;
}

TRACEPOINT_PROBE(task, task_newtask)
{
	on_newtask(args->pid, args->comm);
	return 1;
}

TRACEPOINT_PROBE(task, task_rename)
{
	on_rename(args->pid, args->newcomm);
	return 1;
}
#else
SEC("tp_btf/sched_switch") /* bool preempt, prev, next, unsigned int prev_state (Linux 5.18) */
int sched_switch(u64 *args)
{
	struct task_struct *prev = (void *)args[1], *next = (void *)args[2];
	u32 state = args[0] & 1 ? 0 : args[3]; /* 0x80: TASK_DEAD */

	on_switch(prev->pid, state & 0x80 ? DEAD : state ? SLEEPS : PREEMPTED, next->pid, next->comm);
	return 0;
}

SEC("tp_btf/sched_waking")
int sched_waking(u64 *args)
{
	struct task_struct *p = (void *)args[0];

	on_waking(p->pid, p->comm);
	return 0;
}

SEC("tp_btf/task_newtask")
int task_newtask(u64 *args)
{
	struct task_struct *p = (void *)args[0];

	on_newtask(p->pid, p->comm);
	return 0;
}

SEC("tp_btf/task_rename") /* task, const char *comm: its new name */
int task_rename(u64 *args)
{
	struct task_struct *p = (void *)args[0];

	on_rename(p->pid, (const char *)args[1]);
	return 0;
}
#endif

/* By a clock, once a ms on one CPU. */
#ifndef SCHEDCP_BCC
SEC("perf_event")
#endif
int each_ms(void *context)
{
	u32 zero = 0;
	struct options *o = LOOKUP(options, &zero);
	struct counts *c = LOOKUP(counts, &zero);
	struct shared *s = LOOKUP(shared, &zero);
	s64 n;

	if (!o || !o->since || !c || !s)
		return 0;
	n = s->runnable;
	c->samples++;
	c->runnable[n < 0 ? 0 : n >= COUNTS ? COUNTS - 1 : n]++;
	return 0;
}
