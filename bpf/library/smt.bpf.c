// SPDX-License-Identifier: GPL-2.0-only
/*
 * smt - fair shares by weight, and whole idle cores before half busy ones
 *
 * What: One queue for the machine, ordered by virtual time, which is CPU time divided by weight, turned into the real
 *   time at which the clock will get there; a task that slept brings back a credit of at most lag_ns, and none is put
 *   off by more than wait_ns. A task that wakes takes a CPU of a whole idle core if there is one, never its waker's for
 *   the waker's sake, else any idle CPU.
 * Good for: CPU-bound tasks on machines with two threads a core, while there are fewer tasks than CPUs: each has a
 *   core's units and caches for itself. Shares by nice level as in `vtime`.
 * Weak at: Pairs that exchange data, which it keeps apart. A task that shares a core stays there until it sleeps, even
 *   if a whole core falls idle. Without SMT it is `vtime` without the kernel's wake-up beside the waker.
 * Mechanisms: order=vtime, queues=one, place=core, slice=bounded, preempt=none, steal=none, class=none, guard=round
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/vtime.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 500000..100000000: longest time on a CPU while others wait */
const volatile u64 lag_ns = 20 * SX_MS; /* ns, 0..200000000: most credit a task can bring back from sleep */
const volatile u64 wait_ns = 500 * SX_MS; /* ns, 50000000..1000000000: longest wait that a low weight can cause */

enum smt_dsq {
	SMT_QUEUE = 0,
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
SX_COUNTS_CPUS(smt)

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
	return !sx_head_overdue(SMT_QUEUE, sx_now() + put_off_ns(tc), 0);
}

s32 SX_OP_SLEEPABLE(smt_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(smt_enable, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	/* A slice behind: or a loop of short-lived children would always run before the tasks that wait. */
	if (tc)
		tc->vtime = clock + sx_scale_by_weight(slice_ns, p->scx.weight);
}

void SX_OP(smt_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		count_load(tc, p->scx.weight);
}

s32 SX_OP(smt_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_core(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(smt_enqueue, struct task_struct *p, u64 enq_flags)
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
	sx_insert_due(p, SMT_QUEUE, slice_ns, put_off, enq_flags);
	sx_wake_idle_core_for(p);
}

void SX_OP(smt_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(SMT_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(smt_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	/* A task placed on an idle CPU competed with nobody: its vtime says nothing of the queue's. */
	if (tc->queued)
		sx_advance_vtime(&clock, tc->vtime);
	tc->queued = false;
	sx_mark_cpu_time(p, &tc->mark);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(SMT_QUEUE), cpus));
}

void SX_OP(smt_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		charge(p, tc);
}

void SX_OP(smt_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		count_load(tc, 0);
}

void SX_OP(smt_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(SMT_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(smt_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(SMT_QUEUE);
}

void SX_OP_SLEEPABLE(smt_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(smt,
       .init_task = (void *)smt_init_task,
       .enable = (void *)smt_enable,
       .runnable = (void *)smt_runnable,
       .select_cpu = (void *)smt_select_cpu,
       .enqueue = (void *)smt_enqueue,
       .dispatch = (void *)smt_dispatch,
       .running = (void *)smt_running,
       .stopping = (void *)smt_stopping,
       .quiescent = (void *)smt_quiescent,
       .update_idle = (void *)smt_update_idle,
       .cpu_online = (void *)smt_cpu_online,
       .cpu_offline = (void *)smt_cpu_offline,
       .init = (void *)smt_init,
       .exit = (void *)smt_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
