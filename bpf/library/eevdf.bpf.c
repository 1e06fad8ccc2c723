// SPDX-License-Identifier: GPL-2.0-only
/*
 * eevdf - the kernel's own rules as a policy: of those that are owed CPU time, the earliest virtual deadline runs
 *
 * What: A queue for each CPU, whose clock is the mean vtime of its runnable tasks by weight. Each task asks for a
 *   slice, due at its vtime plus the slice by weight; the earliest deadline among those that are not ahead of the mean
 *   runs until its slice is used. Who falls asleep ahead of the mean stays counted until that has come to it; others
 *   come back with what they were owed. A woken task ends the running one's turn only if that is ahead of the mean or
 *   has used its slice, on another CPU at its next tick. Idle CPUs are the kernel's choice, new tasks go to the least
 *   loaded CPU, and a CPU without work takes from the most loaded.
 * Good for: The second control: what differs between this policy and the kernel's scheduler is the cost of sched_ext
 *   and what is left out here, not the rules. A base for changing one of the rules.
 * Weak at: The same as EEVDF, and nothing that EEVDF is good at is better here. Left out: groups and their bandwidth,
 *   custom slices (sched_setattr), SCHED_IDLE, load averages and the balancing of more than counts, NUMA, capacity and
 *   energy. Unlike EEVDF, nobody is put off for longer than wait_ns, and slices shrink with a queue that is longer than
 *   a second; and the mean has a margin, ahead_ns, without which waking tasks end more turns here than there.
 * Mechanisms: order=eevdf, queues=cpu, place=kernel, slice=virtual-deadline, preempt=wake, steal=imbalance, class=none,
 *   guard=wait_ns, admission=none
 * Workloads: batch, wakeup
 */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/delayed.bpf.h"
#include "primitives/fair.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/pick.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/steal.bpf.h"

const volatile u64 base_slice_ns = 700 * SX_US; /* ns, 100000..20000000: a slice on one CPU; on 2 CPUs and more 2 to 4 times that */
const volatile u64 wait_ns = 500 * SX_MS; /* ns, 50000000..1000000000: longest time that a deadline may lie ahead */
const volatile u64 balance_ns = 32 * SX_MS; /* ns, 1000000..1000000000: how often busy CPUs compare queues */
const volatile u64 ahead_ns = 500 * SX_US; /* ns, 0..10000000: who is ahead of the mean by no more is owed CPU time, too */
const volatile u32 scan = 16; /* tasks, 1..64: how many of a queue are looked at for one that is owed CPU time */

enum eevdf_dsq {
	EEVDF_QUEUE = 0, /* the queue of CPU n is EEVDF_QUEUE + n */
};

enum {
	MAX_CPUS = 1024,
	TICK_NS = 4000000,
};

struct cpu_ctx {
	struct sx_fair fair;
	struct sx_delayed delayed;
	u64 turn_vtime; /* the running task's, when its turn began */
	u64 turn_deadline;
	u32 turn_weight;
	u64 balance_at;
	bool ends_at_tick;
};

struct task_ctx {
	u64 vtime;
	u64 deadline;
	s64 lag; /* while it sleeps: what it is owed, in vtime */
	bool delayed; /* it fell asleep ahead of its queue's clock */
	u64 mark; /* CPU time when it was last charged */
	s64 weight; /* with which it is counted in the queue of `cpu`; 0 while it sleeps */
	u32 cpu;
	bool fresh; /* never ran */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static struct cpu_ctx cpu_ctxs[MAX_CPUS];
static u32 queues;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(eevdf)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline struct cpu_ctx *cpu_of(u32 cpu)
{
	return &cpu_ctxs[cpu & (MAX_CPUS - 1)];
}

static __always_inline u64 slice_ns(void)
{
	return base_slice_ns * (cpus >= 8 ? 4 : cpus >= 4 ? 3 : cpus >= 2 ? 2 : 1);
}

/* Lag beyond a slice and a tick is forgotten, either way. */
static __always_inline s64 limited_lag(s64 lag, u32 weight)
{
	s64 limit = sx_scale_by_weight(slice_ns() + TICK_NS, weight);

	return lag > limit ? limit : lag < -limit ? -limit : lag;
}

static __always_inline void set_deadline(struct task_ctx *tc, u64 slice, u32 weight)
{
	tc->deadline = tc->vtime + sx_scale_by_weight(slice, weight);
}

static __always_inline void join(struct task_struct *p, struct task_ctx *tc, u32 cpu, s64 lag, u64 now)
{
	struct sx_fair *fair = &cpu_of(cpu)->fair;
	u32 weight = p->scx.weight;

	tc->vtime = sx_fair_place(fair, limited_lag(lag, weight), weight, now);
	tc->weight = weight;
	tc->cpu = cpu;
	sx_fair_count(fair, tc->vtime, weight, now);
}

/* Leave the queue it is counted in; returns its lag there. */
static __always_inline s64 leave(struct task_ctx *tc, u64 now)
{
	struct sx_fair *fair = &cpu_of(tc->cpu)->fair;
	s64 lag = sx_fair_clock(fair, now) - tc->vtime;

	sx_fair_count(fair, tc->vtime, -tc->weight, now);
	tc->weight = 0;
	return lag;
}

/* It was moved to another CPU: its lag and what is left of its slice go with it. */
static __always_inline void follow(struct task_struct *p, struct task_ctx *tc, u32 cpu, u64 now)
{
	u64 left = tc->deadline - tc->vtime;

	if (tc->cpu == cpu || !tc->weight)
		return;
	join(p, tc, cpu, leave(tc, now), now);
	tc->deadline = tc->vtime + left;
}

static __always_inline void charge(const struct task_struct *p, struct task_ctx *tc, u64 now)
{
	struct cpu_ctx *cc = cpu_of(tc->cpu);
	u64 used_ns = sx_cpu_time_since(p, tc->mark);

	sx_mark_cpu_time(p, &tc->mark);
	tc->vtime += sx_scale_by_weight(used_ns, p->scx.weight);
	sx_fair_charge(&cc->fair, used_ns);
	if (!sx_before(tc->vtime, tc->deadline))
		set_deadline(tc, slice_ns(), p->scx.weight);
}

/* When the queue's clock will come to the deadline at the present load. */
static __always_inline u64 due_at(const struct task_ctx *tc, u64 now)
{
	const struct sx_fair *fair = &cpu_of(tc->cpu)->fair;
	s64 load = fair->load, in = tc->deadline - sx_fair_clock(fair, now);

	in = sx_div_signed(in * (load > 0 ? load : 1), SX_WEIGHT_NICE_0);
	return now + (in > (s64)wait_ns ? (s64)wait_ns : in < -(s64)wait_ns ? -(s64)wait_ns : in);
}

/* CPU time left until the deadline, at least what a switch is worth. */
static __always_inline u64 left_ns(const struct task_struct *p, const struct task_ctx *tc)
{
	u64 left = (tc->deadline - tc->vtime) * p->scx.weight / SX_WEIGHT_NICE_0;

	return left > 100 * SX_US ? left : 100 * SX_US;
}

/* Is the running task to end its turn for one that comes: has it used its slice, or is it ahead and the other picked now? */
static __always_inline bool ends_turn(const struct task_ctx *tc, bool woken, u64 due, u64 now)
{
	struct cpu_ctx *cc = cpu_of(tc->cpu);
	u64 clock = sx_fair_clock(&cc->fair, now), running;
	struct task_struct *head = sx_dsq_peek(EEVDF_QUEUE + tc->cpu);

	if (!cc->turn_weight)
		return false;
	running = cc->turn_vtime + sx_scale_by_weight(sx_fair_pending(&cc->fair, now), cc->turn_weight);
	if (!sx_before(running, cc->turn_deadline))
		return true;
	return woken && sx_before(clock + ahead_ns, running) && !sx_before(clock + ahead_ns, tc->vtime) &&
	       !(head && sx_before(head->scx.dsq_vtime, due));
}

/* As the kernel does it, which interrupts no other CPU for that: at once on this CPU, on another at its next tick. */
static __always_inline void end_turn(u32 cpu)
{
	if (cpu == bpf_get_smp_processor_id())
		sx_kick_cpu(cpu, SX_KICK_PREEMPT);
	else
		cpu_of(cpu)->ends_at_tick = true;
}

enum picked { NOBODY, ANOTHER, PREV };

/* The first by deadline that is owed CPU time, prev among them; or that is overdue whatever it is owed. */
static __always_inline enum picked pick(u32 cpu, struct task_ctx *prev, u64 now)
{
	u64 clock = sx_fair_clock(&cpu_of(cpu)->fair, now), prev_due = 0;
	struct task_struct *p;
	u32 seen = 0;

	clock += ahead_ns;
	if (prev && !sx_before(clock, prev->vtime))
		prev_due = due_at(prev, now);
	bpf_for_each(scx_dsq, p, EEVDF_QUEUE + cpu, 0) {
		struct task_ctx *tc = ctx_of(p);

		if (seen++ >= scan || (prev_due && sx_before(prev_due, p->scx.dsq_vtime)))
			break;
		if (tc && sx_before(clock, tc->vtime) && sx_before(now, p->scx.dsq_vtime))
			continue;
		if (sx_can_run_on(p, cpu) && sx_move_found_to_local(p))
			return ANOTHER;
	}
	if (prev_due)
		return PREV;
	return sx_move_to_local(EEVDF_QUEUE + cpu) ? ANOTHER : NOBODY;
}

/* Now and then take a task of a queue that has two more than one's own. */
static __always_inline bool balance(u32 cpu, bool prev_waits, u64 now)
{
	struct cpu_ctx *cc = cpu_of(cpu);
	u32 longest;

	if (sx_before(now, cc->balance_at))
		return false;
	cc->balance_at = now + balance_ns;
	longest = sx_longest_queue(cpu, queues, queues - 1);
	return longest != cpu && sx_dsq_nr_queued(longest) >= sx_dsq_nr_queued(cpu) + prev_waits + 2 &&
	       sx_move_to_local(longest);
}

static __always_inline bool take_from_others(u32 cpu)
{
	u32 longest = sx_longest_queue(cpu, queues, queues - 1);

	return (longest != cpu && sx_move_to_local(longest)) || sx_steal_any(cpu, queues);
}

/* The least loaded CPU that p may run on, from its own onwards. */
static __always_inline s32 least_loaded(const struct task_struct *p, s32 from)
{
	s32 best = from, i;

	bpf_for(i, 1, (s32)queues) {
		u32 cpu = (from + i) % queues;

		if (cpu_of(cpu)->fair.load < cpu_of(best)->fair.load && sx_can_run_on(p, cpu) && sx_cpu_online(cpu))
			best = cpu;
	}
	return best;
}

s32 SX_OP_SLEEPABLE(eevdf_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(eevdf_enable, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		tc->fresh = true;
}

s32 SX_OP(eevdf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu, waker = bpf_get_smp_processor_id();
	struct task_ctx *tc = ctx_of(p);
	bool idle = false;

	if (tc && tc->delayed && sx_is_delayed(&cpu_of(tc->cpu)->delayed, p->pid))
		return prev_cpu;
	cpu = sx_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		sx_insert(p, SX_DSQ_LOCAL, slice_ns(), 0);
	else if (wake_flags & SCX_WAKE_FORK)
		return least_loaded(p, cpu);
	else if (cpu_of(waker)->fair.load < cpu_of(cpu)->fair.load && sx_can_run_on(p, waker))
		return waker;
	return cpu;
}

/* As it was if it is still counted; else with the lag it left with, which is none if it was ahead. */
void SX_OP(eevdf_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	u32 cpu = sx_task_cpu(p);
	u64 now = sx_now();
	bool counted;

	if (!tc)
		return;
	sx_drop_delayed(&cpu_of(tc->cpu)->delayed, &cpu_of(tc->cpu)->fair, false, now);
	counted = tc->weight && (!tc->delayed || sx_undelay(&cpu_of(tc->cpu)->delayed, p->pid));
	tc->delayed = false;
	if (counted) {
		follow(p, tc, cpu, now);
		return;
	}
	join(p, tc, cpu, tc->fresh ? 0 : tc->lag, now);
	set_deadline(tc, tc->fresh ? slice_ns() / 2 : slice_ns(), p->scx.weight);
}

void SX_OP(eevdf_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	u32 cpu = sx_task_cpu(p);
	u64 now = sx_now(), due = now;
	bool preempts = false;

	if (sx_insert_woken_kthread(p, slice_ns(), enq_flags))
		return;
	if (tc) {
		follow(p, tc, cpu, now);
		due = due_at(tc, now);
		preempts = ends_turn(tc, enq_flags & SX_ENQ_WAKEUP, due, now);
		tc->fresh = false;
	}
	sx_insert_vtime(p, EEVDF_QUEUE + cpu, slice_ns(), due, enq_flags);
	if (!sx_wake_idle_cpu_for(p) && preempts)
		end_turn(cpu);
}

void SX_OP(eevdf_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_ctx *tc = sx_wants_cpu(prev) ? ctx_of(prev) : NULL;
	struct cpu_ctx *cc = cpu_of(cpu);
	enum picked picked;
	u64 now = sx_now();

	if (tc) {
		charge(prev, tc, now);
		cc->fair.turn_began = now;
	}
	sx_drop_delayed(&cc->delayed, &cc->fair, !tc && sx_dsq_nr_queued(EEVDF_QUEUE + cpu) <= 0, now);
	if (balance(cpu, tc, now))
		return;
	picked = pick(cpu, tc, now);
	if (picked == ANOTHER || (picked == NOBODY && !tc && take_from_others(cpu)))
		return;
	if (prev && tc) {
		cc->turn_vtime = tc->vtime;
		cc->turn_deadline = tc->deadline;
		sx_set_slice(prev, left_ns(prev, tc));
	}
}

void SX_OP(eevdf_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);
	u32 cpu = sx_task_cpu(p);
	struct cpu_ctx *cc = cpu_of(cpu);
	u64 now = sx_now();

	if (!tc)
		return;
	tc->fresh = false;
	follow(p, tc, cpu, now);
	sx_mark_cpu_time(p, &tc->mark);
	cc->turn_vtime = tc->vtime;
	cc->turn_deadline = tc->deadline;
	cc->turn_weight = p->scx.weight;
	cc->ends_at_tick = false;
	cc->fair.turn_began = now;
	sx_cut_slice(p, sx_bounded_slice(left_ns(p, tc), sx_dsq_nr_queued(EEVDF_QUEUE + cpu), 1));
}

void SX_OP(eevdf_tick, struct task_struct *p)
{
	struct cpu_ctx *cc = cpu_of(sx_task_cpu(p));

	if (cc->ends_at_tick)
		sx_set_slice(p, 0);
	cc->ends_at_tick = false;
}

void SX_OP(eevdf_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	cpu_of(tc->cpu)->fair.turn_began = 0;
	cpu_of(tc->cpu)->turn_weight = 0;
	charge(p, tc, sx_now());
}

void SX_OP(eevdf_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	struct cpu_ctx *cc;
	u64 now = sx_now();

	if (!tc || !tc->weight)
		return;
	cc = cpu_of(tc->cpu);
	tc->delayed = (deq_flags & SCX_DEQ_SLEEP) && sx_before(sx_fair_clock(&cc->fair, now), tc->vtime) &&
		      sx_delay(&cc->delayed, p->pid, tc->vtime, tc->weight);
	tc->lag = tc->delayed ? 0 : limited_lag(leave(tc, now), p->scx.weight);
}

void SX_OP(eevdf_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, idle && sx_any_queued(queues));
}

s32 SX_OP_SLEEPABLE(eevdf_init)
{
	s32 queue, err;

	cpus = sx_nr_online_cpus();
	queues = sx_nr_cpu_ids();
	if (queues > MAX_CPUS)
		return -E2BIG;
	bpf_for(queue, 0, (s32)queues) {
		err = sx_create_dsq(EEVDF_QUEUE + queue);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(eevdf_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(eevdf,
       .init_task = (void *)eevdf_init_task,
       .enable = (void *)eevdf_enable,
       .select_cpu = (void *)eevdf_select_cpu,
       .runnable = (void *)eevdf_runnable,
       .enqueue = (void *)eevdf_enqueue,
       .dispatch = (void *)eevdf_dispatch,
       .running = (void *)eevdf_running,
       .tick = (void *)eevdf_tick,
       .stopping = (void *)eevdf_stopping,
       .quiescent = (void *)eevdf_quiescent,
       .update_idle = (void *)eevdf_update_idle,
       .cpu_online = (void *)eevdf_cpu_online,
       .cpu_offline = (void *)eevdf_cpu_offline,
       .init = (void *)eevdf_init,
       .exit = (void *)eevdf_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
