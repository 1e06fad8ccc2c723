// SPDX-License-Identifier: GPL-2.0-only
/*
 * llc - fair shares by weight, with a queue for each last-level cache
 *
 * What: A queue for each last-level cache, ordered by virtual time, which is CPU time divided by weight, turned into
 *   the real time at which the clock will get there; a task that slept brings back a credit of at most lag_ns, and none
 *   is put off by more than wait_ns. A task that wakes takes an idle CPU if there is one, by the kernel's choice. A CPU
 *   whose queue is empty takes from another's, and every second turn from one that is clearly longer.
 * Good for: Machines of several sockets or chiplets: tasks stay near their data and CPUs of one cache share one lock.
 *   Shares by nice level as in `vtime`.
 * Weak at: Machines with one last-level cache, where it is `vtime` with more work. Shares are exact within a cache, and
 *   between caches only as far as queues even out.
 * Mechanisms: order=vtime, queues=llc, place=kernel, slice=bounded, preempt=none, steal=imbalance, class=none,
 *   guard=round
 * Workloads: batch, wakeup
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/llc.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/steal.bpf.h"
#include "primitives/vtime.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 500000..100000000: longest time on a CPU while others wait */
const volatile u64 lag_ns = 20 * SX_MS; /* ns, 0..200000000: most credit a task can bring back from sleep */
const volatile u64 wait_ns = 500 * SX_MS; /* ns, 50000000..1000000000: longest wait that a low weight can cause */
const volatile u32 imbalance = 1; /* tasks, 1..64: how much longer a queue must be than one's own to be taken from */
const volatile u32 probes = 4; /* queues, 1..64: how many others are compared with one's own at each turn */

enum llc_dsq {
	LLC_QUEUE = 0, /* the queue of cache n is LLC_QUEUE + n */
};

struct task_ctx {
	u64 vtime;
	u64 mark; /* CPU time when it last started to run */
	s64 counted; /* its part of `load` */
	bool queued; /* came to its CPU through the queue */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u32 llc_of[SX_MAX_CPUS], llc_number[SX_MAX_CPUS];
static bool took_last_turn[SX_MAX_CPUS];
static u32 queues;
static u64 clock; /* highest vtime with which a task came from a queue to a CPU */
static s64 load; /* sum of the weights of the runnable tasks */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(llc)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline void count_load(struct task_ctx *tc, s64 weight)
{
	__sync_fetch_and_add(&load, weight - tc->counted);
	tc->counted = weight;
}

static __always_inline void charge(const struct task_struct *p, struct task_ctx *tc)
{
	tc->vtime += sx_scale_by_weight(sx_cpu_time_since(p, tc->mark), p->scx.weight);
	sx_mark_cpu_time(p, &tc->mark);
}

static __always_inline u64 queue_of(s32 cpu)
{
	return LLC_QUEUE + *sx_entry(llc_of, cpu);
}

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_ctx *tc)
{
	return sx_vtime_due_in(tc->vtime, clock, cpus, load);
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev, s32 cpu)
{
	struct task_ctx *tc = ctx_of(prev);

	if (!tc || !sx_can_peek())
		return false;
	charge(prev, tc);
	return !sx_head_overdue(queue_of(cpu), sx_now() + put_off_ns(tc), 0);
}

/* Take a task from a clearly longer queue, but not twice running. */
static __always_inline bool even_out(u32 cpu, bool prev_waits)
{
	u32 own = queue_of(cpu), longest;
	bool *took = sx_entry(took_last_turn, cpu);

	*took = !*took;
	if (!*took)
		return false;
	longest = sx_longest_queue(own, queues, probes);
	if (sx_dsq_nr_queued(longest) < sx_dsq_nr_queued(own) + prev_waits + (s32)imbalance)
		return false;
	return longest != own && sx_move_to_local(longest);
}

s32 SX_OP_SLEEPABLE(llc_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(llc_enable, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	/* A slice behind: or a loop of short-lived children would always run before the tasks that wait. */
	if (tc)
		tc->vtime = clock + sx_scale_by_weight(slice_ns, p->scx.weight);
}

void SX_OP(llc_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		count_load(tc, p->scx.weight);
}

s32 SX_OP(llc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(llc_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	s64 put_off = 0;

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	if (tc) {
		tc->vtime = sx_clamp_vtime(tc->vtime, clock, lag_ns, sx_vtime_lead(wait_ns, cpus, load));
		tc->queued = true;
		put_off = put_off_ns(tc);
	}
	sx_insert_due(p, queue_of(sx_task_cpu(p)), slice_ns, put_off, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(llc_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if (even_out(cpu, prev_waits))
		return;
	if ((prev_waits && is_still_first(prev, cpu)) ||
	    (!sx_move_to_local(queue_of(cpu)) && !sx_steal_any(queue_of(cpu), queues) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(llc_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	/* A task placed on an idle CPU competed with nobody: its vtime says nothing of the queue's. */
	if (tc->queued)
		sx_advance_vtime(&clock, tc->vtime);
	tc->queued = false;
	sx_mark_cpu_time(p, &tc->mark);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(queue_of(sx_task_cpu(p))), cpus / queues ?: 1));
}

void SX_OP(llc_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		charge(p, tc);
}

void SX_OP(llc_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		count_load(tc, 0);
}

void SX_OP(llc_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, idle && sx_any_queued(queues));
}

s32 SX_OP_SLEEPABLE(llc_init)
{
	s32 queue, err;

	cpus = sx_nr_online_cpus();
	queues = sx_number_llcs(llc_of, llc_number, sx_nr_cpu_ids());
	bpf_for(queue, 0, (s32)queues) {
		err = sx_create_dsq(LLC_QUEUE + queue);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(llc_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(llc,
       .init_task = (void *)llc_init_task,
       .enable = (void *)llc_enable,
       .runnable = (void *)llc_runnable,
       .select_cpu = (void *)llc_select_cpu,
       .enqueue = (void *)llc_enqueue,
       .dispatch = (void *)llc_dispatch,
       .running = (void *)llc_running,
       .stopping = (void *)llc_stopping,
       .quiescent = (void *)llc_quiescent,
       .update_idle = (void *)llc_update_idle,
       .cpu_online = (void *)llc_cpu_online,
       .cpu_offline = (void *)llc_cpu_offline,
       .init = (void *)llc_init,
       .exit = (void *)llc_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
