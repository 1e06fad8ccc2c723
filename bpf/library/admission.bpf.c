// SPDX-License-Identifier: GPL-2.0-only
/*
 * admission - what has been begun is finished before more is let in
 *
 * What: A task that computes is let in to a piece of work, which ends when it sleeps after at least unit_ns of CPU, or
 *   with its slice. Tasks in the middle of one go first, who began earliest before the others; new pieces wait in order
 *   of arrival until a CPU is free and fewer than begun_percent of the CPUs' number are begun, those that sleep in the
 *   middle included. Tasks that never compute for long are neither counted nor held up. What has waited for age_ns is
 *   let in beside the begun.
 * Good for: The slowest answers of an oversubscribed server whose requests sleep and compute by turns, or compute under
 *   locks: a request that was begun waits for few others, and is not put off by new ones.
 * Weak at: The time until a request is begun, which is where the waiting goes. CPUs idle beside tasks that wait to be
 *   let in while those that were begun sleep, which is the purpose: until none has come back for hold_ns, and not
 *   beyond age_ns; with hold_ns 0 never. Nice levels are ignored.
 * Mechanisms: order=begun, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=computing,
 *   guard=age_ns, admission=begun_percent
 * Workloads: schbench
 */
#include "sx/sx.h"
#include "primitives/alarm.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"

const volatile u64 slice_ns = 20 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU while others wait */
const volatile u32 begun_percent = 200; /* percent, 100..6400: pieces of work that are begun at once, of the CPUs' number */
const volatile u64 unit_ns = 300 * SX_US; /* ns, 10000..50000000: who sleeps after more CPU time has ended a piece of work */
const volatile u64 hold_ns = 2 * SX_MS; /* ns, 0..20000000: how long CPUs idle beside tasks that wait, while no begun one wakes */
const volatile u64 age_ns = 200 * SX_MS; /* ns, 10000000..1000000000: what has waited for so long is let in all the same */
const volatile u64 light_ns = 20 * SX_MS; /* ns, 0..200000000: how far tasks of short bursts go before those that began */

enum admission_dsq {
	ADMISSION_BEGUN = 0,
	ADMISSION_WAITING = 1,
};

enum {
	HEAVY = 8, /* as many short bursts after a long one make a task one that computes no more */
};

struct task_ctx {
	u64 mark; /* CPU time when its piece of work was begun */
	u64 began_at;
	u32 heavy; /* above 0: it computes */
	bool begun;
	u32 age; /* in which it fell asleep, if it is one of the `sleeping` */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static s32 awake; /* begun, and on a CPU or waiting for one */
static s32 sleeping; /* begun, and asleep in the middle */
static u32 age = 1; /* goes up when those that sleep in the middle are forgotten, since they did not come back in time */
static u64 last_turn; /* when a task was last given a CPU */
static u32 turns, cpu_ids;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(admission)
SX_ALARM()

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline void begin(struct task_struct *p, struct task_ctx *tc)
{
	if (tc->begun)
		return;
	tc->begun = true;
	tc->began_at = sx_now();
	sx_mark_cpu_time(p, &tc->mark);
	if (tc->heavy)
		__sync_fetch_and_add(&awake, 1);
}

/* The piece of work is done; the task is awake. Only those that compute are counted, and it may become one now. */
static __always_inline void end(struct task_ctx *tc, bool long_burst)
{
	if (tc->begun && tc->heavy)
		__sync_fetch_and_sub(&awake, 1);
	tc->begun = false;
	if (long_burst)
		tc->heavy = HEAVY;
}

static __always_inline void fall_asleep(struct task_ctx *tc)
{
	if (!tc->begun)
		return;
	if (!tc->heavy) { /* each of its bursts is a piece of work */
		tc->begun = false;
		return;
	}
	__sync_fetch_and_sub(&awake, 1);
	if (--tc->heavy) {
		__sync_fetch_and_add(&sleeping, 1);
		tc->age = age;
	} else {
		tc->begun = false;
	}
}

static __always_inline void wake_up(struct task_ctx *tc)
{
	if (!tc->age)
		return;
	if (tc->age == age)
		__sync_fetch_and_sub(&sleeping, 1);
	tc->age = 0;
	__sync_fetch_and_add(&awake, 1);
}

/* How long the first that wants to be let in has waited. */
static __always_inline s64 waited_ns(u64 now)
{
	struct task_struct *head = sx_dsq_peek(ADMISSION_WAITING);

	return head ? (s64)(now - head->scx.dsq_vtime) : 0;
}

/*
 * May this CPU idle beside tasks that wait, until one of those that were begun comes back? Not where none did for hold_ns,
 * which the alarm tells, and not where the first has waited for too long.
 */
static __always_inline bool holds_back(u64 now)
{
	s64 quiet = now - last_turn;

	if (!hold_ns || (u64)(awake + sleeping) * 100 < (u64)begun_percent * cpus || waited_ns(now) > (s64)age_ns)
		return false;
	if (quiet < (s64)hold_ns) {
		sx_alarm_in(sx_alarm(), hold_ns);
		return true;
	}
	__sync_fetch_and_add(&age, 1);
	sleeping = 0;
	return false;
}

/* Let the first in that waits, if it is time. */
static __always_inline bool let_in(void)
{
	if (sx_dsq_nr_queued(ADMISSION_WAITING) <= 0 || holds_back(sx_now()))
		return false;
	return sx_move_to_local(ADMISSION_WAITING);
}

static int look_again(void *map, u32 *key, struct sx_alarm *alarm)
{
	alarm->at = 0;
	sx_wake_all_idle(cpu_ids);
	return 0;
}

s32 SX_OP_SLEEPABLE(admission_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(admission_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		wake_up(tc);
}

s32 SX_OP(admission_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *tc = ctx_of(p);

	/* One that has to be let in queues behind those that wait already. */
	if (tc && tc->heavy && !tc->begun && sx_dsq_nr_queued(ADMISSION_WAITING) > 0)
		return prev_cpu;
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(admission_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	if (tc && tc->heavy && !tc->begun)
		sx_insert_due(p, ADMISSION_WAITING, slice_ns, 0, enq_flags);
	else if (tc && tc->begun && tc->heavy)
		sx_insert_vtime(p, ADMISSION_BEGUN, slice_ns, tc->began_at, enq_flags);
	else
		sx_insert_due(p, ADMISSION_BEGUN, slice_ns, -(s64)light_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(admission_dispatch, s32 cpu, struct task_struct *prev)
{
	bool aged = waited_ns(sx_now()) > (s64)age_ns && __sync_fetch_and_add(&turns, 1) % 2;

	if (aged && sx_move_to_local(ADMISSION_WAITING))
		return;
	if (sx_move_to_local(ADMISSION_BEGUN) || let_in())
		return;
	if (sx_wants_cpu(prev))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(admission_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);
	s32 waiting = sx_dsq_nr_queued(ADMISSION_BEGUN) + sx_dsq_nr_queued(ADMISSION_WAITING);

	last_turn = sx_now();
	if (tc)
		begin(p, tc);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, waiting, cpus));
}

void SX_OP(admission_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);
	bool long_burst;

	if (!tc)
		return;
	long_burst = sx_cpu_time_since(p, tc->mark) >= unit_ns;
	if (runnable ? !p->scx.slice : long_burst)
		end(tc, long_burst);
}

void SX_OP(admission_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		fall_asleep(tc);
}

void SX_OP(admission_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && tc->age && tc->age == age)
		__sync_fetch_and_sub(&sleeping, 1);
}

void SX_OP(admission_update_idle, s32 cpu, bool idle)
{
	bool waits = sx_dsq_nr_queued(ADMISSION_BEGUN) > 0;

	if (idle && !waits && sx_dsq_nr_queued(ADMISSION_WAITING) > 0)
		waits = !holds_back(sx_now());
	sx_recheck_before_idle(cpu, idle, waits);
}

s32 SX_OP_SLEEPABLE(admission_init)
{
	struct sx_alarm *alarm = sx_alarm();
	s32 err = sx_create_dsq(ADMISSION_BEGUN);

	if (!alarm)
		return -EINVAL;
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	bpf_timer_init(&alarm->timer, &sx_alarms, SX_CLOCK_MONOTONIC);
	bpf_timer_set_callback(&alarm->timer, look_again);
	return err ?: sx_create_dsq(ADMISSION_WAITING);
}

void SX_OP_SLEEPABLE(admission_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(admission,
       .init_task = (void *)admission_init_task,
       .exit_task = (void *)admission_exit_task,
       .runnable = (void *)admission_runnable,
       .select_cpu = (void *)admission_select_cpu,
       .enqueue = (void *)admission_enqueue,
       .dispatch = (void *)admission_dispatch,
       .running = (void *)admission_running,
       .stopping = (void *)admission_stopping,
       .quiescent = (void *)admission_quiescent,
       .update_idle = (void *)admission_update_idle,
       .cpu_online = (void *)admission_cpu_online,
       .cpu_offline = (void *)admission_cpu_offline,
       .init = (void *)admission_init,
       .exit = (void *)admission_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
