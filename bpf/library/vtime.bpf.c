// SPDX-License-Identifier: GPL-2.0-only
/*
 * vtime - fair shares by weight: who has had least CPU time for its nice level runs next
 *
 * What: One queue ordered by virtual time, which is CPU time divided by weight, turned into the real time at which the
 *   queue's clock will get there. A task that slept comes back with a credit of at most lag_ns, a new one starts a
 *   slice behind the clock, and a task of low weight is put off by at most wait_ns, however much others outweigh it.
 * Good for: Mixed work that should share a machine by nice level; many equal tasks that must all progress; tasks that
 *   sleep often, which run soon after waking because they have used little.
 * Weak at: Finishing one long job early: it gets its fair share and no more. A waking task still waits for the running
 *   ones' slices to end. Weights among tasks bound to one overloaded CPU are lost once they lag by lag_ns.
 * Mechanisms: order=vtime, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=none, guard=round
 * Workloads: batch, wakeup
 */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/vtime.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 500000..50000000: longest time on a CPU while others wait */
const volatile u64 lag_ns = 20 * SX_MS; /* ns, 0..200000000: most credit a task can bring back from sleep */
const volatile u64 wait_ns = 500 * SX_MS; /* ns, 50000000..1000000000: longest wait that a low weight can cause */

enum vtime_dsq {
	VTIME_QUEUE = 0,
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

static u64 clock; /* highest vtime with which a task came from a queue to a CPU */
static s64 load; /* sum of the weights of the runnable tasks */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(vtime)

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

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_ctx *tc)
{
	return sx_vtime_due_in(tc->vtime, clock, cpus, load);
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);

	if (!tc || !sx_can_peek())
		return false;
	charge(prev, tc);
	return !sx_head_overdue(VTIME_QUEUE, sx_now() + put_off_ns(tc), 0);
}

s32 SX_OP_SLEEPABLE(vtime_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(vtime_enable, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	/* A slice behind: or a loop of short-lived children would always run before the tasks that wait. */
	if (tc)
		tc->vtime = clock + sx_scale_by_weight(slice_ns, p->scx.weight);
}

void SX_OP(vtime_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		count_load(tc, p->scx.weight);
}

s32 SX_OP(vtime_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(vtime_enqueue, struct task_struct *p, u64 enq_flags)
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
	sx_insert_due(p, VTIME_QUEUE, slice_ns, put_off, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(vtime_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(VTIME_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(vtime_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	/* A task placed on an idle CPU competed with nobody: its vtime says nothing of the queue's. */
	if (tc->queued)
		sx_advance_vtime(&clock, tc->vtime);
	tc->queued = false;
	sx_mark_cpu_time(p, &tc->mark);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(VTIME_QUEUE), cpus));
}

void SX_OP(vtime_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		charge(p, tc);
}

void SX_OP(vtime_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		count_load(tc, 0);
}

void SX_OP(vtime_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(VTIME_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(vtime_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(VTIME_QUEUE);
}

void SX_OP_SLEEPABLE(vtime_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(vtime,
       .init_task = (void *)vtime_init_task,
       .enable = (void *)vtime_enable,
       .runnable = (void *)vtime_runnable,
       .select_cpu = (void *)vtime_select_cpu,
       .enqueue = (void *)vtime_enqueue,
       .dispatch = (void *)vtime_dispatch,
       .running = (void *)vtime_running,
       .stopping = (void *)vtime_stopping,
       .quiescent = (void *)vtime_quiescent,
       .update_idle = (void *)vtime_update_idle,
       .cpu_online = (void *)vtime_cpu_online,
       .cpu_offline = (void *)vtime_cpu_offline,
       .init = (void *)vtime_init,
       .exit = (void *)vtime_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
