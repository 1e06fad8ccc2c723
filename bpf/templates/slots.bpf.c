// SPDX-License-Identifier: GPL-2.0-only
/*
 * slots - a fixed policy with four expressions to fill in
 *
 * What: An ordinary queue and one for background work, both ordered by due time; SLOT_KEY says how long a task is put
 *   off, SLOT_SLICE how long its turn is, SLOT_QUEUE which queue it waits in, SLOT_PREEMPT whether it ends another's
 *   turn when it wakes and no CPU is idle. The ordinary queue goes first, but for every eighth turn.
 * Good for: Trying an order, a slice, a class of background work or a preemption, without its bookkeeping.
 * Weak at: What needs memory beyond the facts that the slots have, and places of its own.
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/burst.bpf.h"
#include "primitives/cpus.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/turn.bpf.h"

#define SLOT_KEY 0
#define SLOT_SLICE (5 * SX_MS)
#define SLOT_QUEUE 0
#define SLOT_PREEMPT 0

const volatile u64 protect_ns = 500 * SX_US; /* ns, 0..10000000: a turn is not ended by another task before this */
const volatile u64 put_off_most_ns = 300 * SX_MS; /* ns, 0..1000000000: SLOT_KEY is cut to this, before and after now */

enum slots_dsq {
	SLOTS_ORDINARY = 0,
	SLOTS_BACKGROUND = 1,
};

enum {
	SLOTS_TURNS = 8, /* one in so many is the background's */
};

/* What a slot's expression may name; see docs/authoring.md. */
struct facts {
	s64 weight, burst_ns, ran_ns, slept_ns, total_ns, woken, kthread, pinned, queued, background, cpus;
};

struct task_ctx {
	struct sx_burst burst;
	u64 asleep_at, slept_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 turn_began[SX_MAX_CPUS];
static u32 cpu_ids, next_look, turns;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(slots)

static __always_inline s64 min(s64 a, s64 b)
{
	return a < b ? a : b;
}

static __always_inline s64 max(s64 a, s64 b)
{
	return a > b ? a : b;
}

/* BPF has no signed division before cpu v4: below 0 it is 0, and by 0 it is by 1. */
static __always_inline s64 div(s64 a, s64 b)
{
	return a <= 0 || b < 0 ? 0 : (s64)((u64)a / (u64)(b ?: 1));
}

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline struct facts facts_of(const struct task_struct *p, const struct task_ctx *tc, bool woken)
{
	struct facts f = {
		.weight = p->scx.weight,
		.burst_ns = tc ? sx_expected_burst_ns(p, &tc->burst) : 0,
		.ran_ns = tc ? sx_cpu_time_since(p, tc->burst.mark) : 0,
		.slept_ns = tc ? tc->slept_ns : 0,
		.total_ns = p->se.sum_exec_runtime,
		.woken = woken,
		.kthread = sx_is_kthread(p),
		.pinned = sx_is_pinned(p),
		.queued = sx_dsq_nr_queued(SLOTS_ORDINARY),
		.background = sx_dsq_nr_queued(SLOTS_BACKGROUND),
		.cpus = cpus,
	};

	return f;
}

static __always_inline s64 put_off_ns(const struct facts f)
{
	s64 most = put_off_most_ns;

	return max(-most, min(most, (SLOT_KEY)));
}

static __always_inline u64 turn_ns(const struct facts f)
{
	return max(100 * SX_US, min(100 * SX_MS, (SLOT_SLICE)));
}

static __always_inline u64 queue_of(const struct facts f)
{
	return (SLOT_QUEUE) ? SLOTS_BACKGROUND : SLOTS_ORDINARY;
}

static __always_inline bool ends_a_turn(const struct facts f)
{
	return (SLOT_PREEMPT) != 0;
}

/* End the turn on the task's own CPU, or on another, each CPU in its time, if it has had its time. */
static __always_inline void preempt_for(const struct task_struct *p)
{
	u32 own = sx_task_cpu(p), other = sx_another(own, cpu_ids, __sync_fetch_and_add(&next_look, 1));

	if (sx_turn_ns(turn_began, own, sx_now()) > (s64)protect_ns)
		sx_kick_cpu(own, SX_KICK_PREEMPT);
	else if (sx_in_mask_of(p, other) && sx_turn_ns(turn_began, other, sx_now()) > (s64)protect_ns)
		sx_kick_cpu(other, SX_KICK_PREEMPT);
}

s32 SX_OP_SLEEPABLE(slots_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	sx_mark_cpu_time(p, &tc->burst.mark);
	return 0;
}

void SX_OP(slots_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && tc->asleep_at) {
		tc->slept_ns = sx_now() - tc->asleep_at;
		tc->asleep_at = 0;
	}
}

s32 SX_OP(slots_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, turn_ns(facts_of(p, ctx_of(p), true)));
}

void SX_OP(slots_enqueue, struct task_struct *p, u64 enq_flags)
{
	const struct facts f = facts_of(p, ctx_of(p), enq_flags & SX_ENQ_WAKEUP);

	if (sx_insert_woken_kthread(p, turn_ns(f), enq_flags))
		return;
	sx_insert_due(p, queue_of(f), turn_ns(f), put_off_ns(f), enq_flags);
	if (!sx_wake_idle_cpu_for(p) && f.woken && ends_a_turn(f))
		preempt_for(p);
}

void SX_OP(slots_dispatch, s32 cpu, struct task_struct *prev)
{
	bool background_first = __sync_fetch_and_add(&turns, 1) % SLOTS_TURNS == 0;

	if (background_first && sx_move_to_local(SLOTS_BACKGROUND))
		return;
	if (sx_move_to_local(SLOTS_ORDINARY) || sx_move_to_local(SLOTS_BACKGROUND))
		return;
	if (sx_wants_cpu(prev))
		sx_set_slice(prev, turn_ns(facts_of(prev, ctx_of(prev), false)));
}

void SX_OP(slots_running, struct task_struct *p)
{
	const struct facts f = facts_of(p, ctx_of(p), false);

	*sx_entry(turn_began, sx_task_cpu(p)) = sx_now();
	sx_cut_slice(p, sx_bounded_slice(turn_ns(f), f.queued + f.background, cpus));
}

void SX_OP(slots_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc || !(deq_flags & SX_DEQ_SLEEP))
		return;
	sx_end_burst(p, &tc->burst);
	tc->asleep_at = sx_now();
}

void SX_OP(slots_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(SLOTS_ORDINARY) + sx_dsq_nr_queued(SLOTS_BACKGROUND) > 0);
}

s32 SX_OP_SLEEPABLE(slots_init)
{
	s32 err = sx_create_dsq(SLOTS_ORDINARY);

	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return err ?: sx_create_dsq(SLOTS_BACKGROUND);
}

void SX_OP_SLEEPABLE(slots_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(slots,
       .init_task = (void *)slots_init_task,
       .runnable = (void *)slots_runnable,
       .select_cpu = (void *)slots_select_cpu,
       .enqueue = (void *)slots_enqueue,
       .dispatch = (void *)slots_dispatch,
       .running = (void *)slots_running,
       .quiescent = (void *)slots_quiescent,
       .update_idle = (void *)slots_update_idle,
       .cpu_online = (void *)slots_cpu_online,
       .cpu_offline = (void *)slots_cpu_offline,
       .init = (void *)slots_init,
       .exit = (void *)slots_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
