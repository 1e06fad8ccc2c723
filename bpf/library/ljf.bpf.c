// SPDX-License-Identifier: GPL-2.0-only
/*
 * ljf - longest job first, from the CPU time that jobs of the same kind are known to need
 *
 * What: One queue ordered by due time: the longest job is due at once, a shorter one is put off the more, up to aging_ns.
 *   A job that runs keeps its CPU against shorter and equal ones. job_by says what makes two jobs of one kind: command
 *   name, arguments, executable, parent's name, cgroup, position among the parent's children. How long a job is, is the
 *   hint of its kind; else what finished jobs of its kind used; else half the longest hint, or of what has finished. One
 *   that has run for twice that counts as twice what it ran. What has no hint is due before all while it runs in short
 *   bursts (shells, drivers, kworkers, jobs before their exec). What has waited past its due time is let in for a short
 *   turn, so nothing waits much longer than twice aging_ns (three times, if it is moved between CPUs on top, which must
 *   stay below the 2 s that the verifier gives). With hold_ns the long jobs that come while others wait are held back for
 *   so long: the short ones end sooner, and the batch by so much later.
 * Good for: Batches that end when the last job ends: a long job that would else run alone at the end starts at once and
 *   keeps a CPU, the short ones fill the rest, and the makespan comes near max(longest job, total work / CPUs).
 * Weak at: Mean completion time and latency of the short jobs, which is the price; work whose jobs are of one length, or
 *   whose hints are wrong; a long job that nothing tells from short ones until it outruns them. Nice levels are ignored.
 * Mechanisms: order=longest-known, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=job, guard=short
 * Workloads: batch, batch-exec, batch-unnamed
 */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/jobs.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"

const volatile char job_comm[16][16]; /* command names of the jobs whose CPU time is known, for job_by=1 */
const volatile u64 job_key[64]; /* keys of jobs in place of names, as a profile has them for the parts in job_by */
const volatile u64 job_cpu_ns[64]; /* ns, 0..100000000000000: CPU time that one task of each of those names or keys needs */
const volatile u32 job_by = 1; /* parts, 1..63: what makes a kind, added up: 1 name, 2 arguments, 4 executable, 8 parent's
				* name, 16 cgroup, 32 position among the parent's children */
const volatile u64 slice_ns = 20 * SX_MS; /* ns, 1000000..100000000: how often it is reconsidered who runs */
const volatile u64 aging_ns = 600 * SX_MS; /* ns, 100000000..1000000000: longest a short job is put off for longer ones */
const volatile u64 aged_slice_ns = 4 * SX_MS; /* ns, 500000..20000000: turn of a task that is served because it waited */
const volatile u64 hold_ns = 0; /* ns, 0..500000000: how long short jobs go before long ones that have not begun */
const volatile u64 burst_ns = 4 * SX_MS; /* ns, 500000..50000000: a task without a hint that runs longer counts as a job */

enum ljf_dsq {
	LJF_QUEUE = 0,
	LJF_HELD = 1, /* long jobs that have not begun, in the order in which they came */
};

struct task_ctx {
	struct sx_job job;
	u64 wake_mark; /* CPU time when it last woke */
	u64 aged_at; /* from when on it counts as having waited too long; 0 if it did not queue */
	u64 began; /* when its turn began */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct sx_job_history);
} history SEC(".maps");

static u64 longest_ns; /* the longest hint; without hints the longest job that has finished */
static bool hinted;
static u64 held_until; /* from when on those in LJF_HELD go first */
static u64 hints[SX_HINTS_MAX]; /* the keys of job_comm and job_key */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(ljf)

static __always_inline struct task_ctx *record_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

/* The record of a task that runs, brought up to date with what it is by now: it changes by what itself does, mostly. */
static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	struct task_ctx *tc = record_of(p);

	if (tc)
		sx_job_refresh(&tc->job, p, job_by, hints);
	return tc;
}

/* Of a job with a hint too, once it has begun: who reaps others' ends wakes for moments, and all wait for it. */
static __always_inline bool in_short_burst(const struct task_struct *p, const struct task_ctx *tc)
{
	u64 begun_ns = 0;

	if (tc->job.hint >= 0) {
		begun_ns = job_cpu_ns[tc->job.hint & (SX_HINTS_MAX - 1)];
		begun_ns = begun_ns < burst_ns ? begun_ns : burst_ns;
	}
	return sx_cpu_time_since(p, 0) >= begun_ns && sx_cpu_time_since(p, tc->wake_mark) < burst_ns;
}

/*
 * CPU time the whole job is expected to take. Not what is left of it: a long job would then lose its CPU as it nears its
 * end, or its hint's, and only the ratio of the hints counts this way, so they may come from a faster machine.
 */
static __always_inline u64 expected_ns(const struct task_struct *p, const struct task_ctx *tc)
{
	u64 used_ns = sx_cpu_time_since(p, 0), known_ns;

	if (tc->job.hint >= 0)
		known_ns = job_cpu_ns[tc->job.hint & (SX_HINTS_MAX - 1)];
	else
		known_ns = sx_job_mean(&history, tc->job.key) ?: longest_ns / 2;
	if (used_ns > 2 * known_ns)
		known_ns = 2 * used_ns;
	return known_ns;
}

/* How long p is put off for longer jobs: 0 for the longest, up to aging_ns; below 0 for short bursts. */
static __always_inline s64 put_off_ns(const struct task_struct *p, const struct task_ctx *tc)
{
	u64 expected = expected_ns(p, tc), share;

	if (in_short_burst(p, tc))
		return -(s64)aging_ns;
	if (expected >= longest_ns)
		return 0;
	share = expected * 1024 / longest_ns; /* in two steps: aging_ns * expected would not fit 64 bits */
	return aging_ns * (1024 - share) / 1024;
}

/* Is p a long job that has not begun? */
static __always_inline bool is_held(const struct task_struct *p, s64 put_off)
{
	return hold_ns && put_off >= 0 && put_off < (s64)(aging_ns / 2) && sx_cpu_time_since(p, 0) < slice_ns;
}

static __always_inline void hold(struct task_struct *p, u64 enq_flags)
{
	if (!sx_dsq_nr_queued(LJF_HELD))
		held_until = sx_now() + hold_ns;
	sx_insert(p, LJF_HELD, slice_ns, enq_flags);
}

/* Has somebody in LJF_HELD waited for as long as it is held, and slack_ns on top? */
static __always_inline bool held_overdue(u64 now, u64 slack_ns)
{
	return hold_ns && sx_dsq_nr_queued(LJF_HELD) && sx_before(held_until + slack_ns, now);
}

/*
 * May prev go on, though its slice ended? Until the queue's first is later than prev would be if it queued now, by half of
 * aging_ns for the shortest jobs, which so end in one go, and by all of it for the longest. Short bursts never wait here.
 */
static __always_inline bool may_keep_cpu(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);
	u64 now = sx_now();
	s64 put_off;

	if (!tc)
		return false;
	if (!sx_can_peek())
		return now - tc->began < aging_ns && !held_overdue(now, 0);
	put_off = put_off_ns(prev, tc);
	if (held_overdue(now, put_off > 0 ? 0 : aging_ns))
		return false;
	return !sx_head_overdue(LJF_QUEUE, now + put_off, (s64)aging_ns - (put_off >> 1));
}

static __always_inline u64 turn_ns(const struct task_ctx *tc)
{
	if (tc->aged_at && sx_before(tc->aged_at, tc->began))
		return aged_slice_ns;
	return tc->job.hint < 0 ? burst_ns : slice_ns;
}

s32 SX_OP_SLEEPABLE(ljf_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *parent = args->fork ? bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0) : NULL;
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	sx_job_starts(&tc->job, p, parent ? &parent->job : NULL);
	sx_job_refresh(&tc->job, p, job_by, hints);
	return 0;
}

void SX_OP(ljf_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = record_of(p);

	if (!tc)
		return;
	if (enq_flags & SX_ENQ_WAKEUP)
		sx_mark_cpu_time(p, &tc->wake_mark);
	tc->aged_at = 0;
}

s32 SX_OP(ljf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(ljf_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = record_of(p);
	s64 put_off = 0;
	u64 due;

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	if (tc)
		put_off = put_off_ns(p, tc);
	if (tc && is_held(p, put_off)) {
		tc->aged_at = 0;
		hold(p, enq_flags);
		sx_wake_idle_cpu_for(p);
		return;
	}
	due = sx_insert_due(p, LJF_QUEUE, slice_ns, put_off, enq_flags);
	if (tc)
		tc->aged_at = put_off > 0 ? due : due + aging_ns;
	sx_wake_idle_cpu_for(p);
}

static __always_inline bool move_next(void)
{
	if (held_overdue(sx_now(), 0) && sx_move_to_local(LJF_HELD))
		return true;
	return sx_move_to_local(LJF_QUEUE) || sx_move_to_local(LJF_HELD);
}

void SX_OP(ljf_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && may_keep_cpu(prev)) || (!move_next() && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(ljf_running, struct task_struct *p)
{
	struct task_ctx *tc = record_of(p);

	if (!tc)
		return;
	tc->began = sx_now();
	sx_cut_slice(p, sx_bounded_slice(turn_ns(tc), sx_dsq_nr_queued(LJF_QUEUE), cpus));
}

/* Also of a task that goes to sleep: what exec gave it can be read only now, and it is to be known when it wakes. */
void SX_OP(ljf_stopping, struct task_struct *p, bool runnable)
{
	ctx_of(p);
}

void SX_OP(ljf_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(LJF_QUEUE) + sx_dsq_nr_queued(LJF_HELD) > 0);
}

void SX_OP(ljf_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct task_ctx *tc = record_of(p);
	u64 used_ns = sx_cpu_time_since(p, 0);

	if (!tc || args->cancelled)
		return;
	sx_job_ends(&history, &tc->job, used_ns);
	if (!hinted && used_ns > longest_ns)
		longest_ns = used_ns;
}

s32 SX_OP_SLEEPABLE(ljf_init)
{
	longest_ns = sx_hints_init(hints, job_comm, job_key, job_cpu_ns);
	hinted = longest_ns > 0;
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(LJF_QUEUE) ?: sx_create_dsq(LJF_HELD);
}

void SX_OP_SLEEPABLE(ljf_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(ljf,
       .init_task = (void *)ljf_init_task,
       .runnable = (void *)ljf_runnable,
       .select_cpu = (void *)ljf_select_cpu,
       .enqueue = (void *)ljf_enqueue,
       .dispatch = (void *)ljf_dispatch,
       .running = (void *)ljf_running,
       .stopping = (void *)ljf_stopping,
       .update_idle = (void *)ljf_update_idle,
       .exit_task = (void *)ljf_exit_task,
       .cpu_online = (void *)ljf_cpu_online,
       .cpu_offline = (void *)ljf_cpu_offline,
       .init = (void *)ljf_init,
       .exit = (void *)ljf_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
