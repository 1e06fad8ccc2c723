// SPDX-License-Identifier: GPL-2.0-only
/*
 * edf - earliest deadline first, the deadline by nice level
 *
 * What: One queue for the machine, ordered by deadline: nice 0 is due after deadline_ns, a heavier task the sooner and
 *   a lighter one the later, by its weight, up to wait_ns. A task that wakes takes an idle CPU if there is one, by the
 *   kernel's choice. Who finds no idle CPU ends a turn that has lasted protect_ns if the task that runs would be due
 *   later than it by margin_ns.
 * Good for: Services that must answer fast beside work that may wait, told apart by nice level: a task of nice -10 is
 *   due nine times sooner than one of nice 0, and ends its turn where CPUs are busy. Latency by priority without
 *   starvation.
 * Weak at: Tasks of one nice level, which run in order of arrival. It shares waits, not CPU time: a heavy task that
 *   never sleeps takes nearly all of it until others are overdue.
 * Mechanisms: order=deadline, queues=one, place=kernel, slice=bounded, preempt=earlier, steal=none, class=none,
 *   guard=round
 * Workloads: wakeup
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/putoff.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/turn.bpf.h"

const volatile u64 slice_ns = 3 * SX_MS; /* ns, 500000..50000000: longest time on a CPU while others wait */
const volatile u64 deadline_ns = 10 * SX_MS; /* ns, 0..100000000: after how long a task of nice 0 is due */
const volatile u64 wait_ns = 300 * SX_MS; /* ns, 10000000..1000000000: the longest that a task is put off */
const volatile u64 protect_ns = 500 * SX_US; /* ns, 0..10000000: a turn is not ended by another task before this */
const volatile u64 margin_ns = 1 * SX_MS; /* ns, 0..500000000: how much later a running task must be due to lose its turn */

enum edf_dsq {
	EDF_QUEUE = 0,
};

static u64 turn_began[SX_MAX_CPUS];
static s64 turn_put_off[SX_MAX_CPUS]; /* of the task whose turn it is */
static u32 cpu_ids, next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(edf)

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_struct *p)
{
	return sx_put_off_by_weight(deadline_ns, p->scx.weight, wait_ns);
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev)
{
	return sx_can_peek() && !sx_head_overdue(EDF_QUEUE, sx_now() + put_off_ns(prev), 0);
}

/* Would the task on a CPU be due later than one that can be put off by so much, and has it had its time? */
static __always_inline bool may_end_turn(u32 cpu, s64 put_off)
{
	return sx_turn_ns(turn_began, cpu, sx_now()) > (s64)protect_ns &&
	       *sx_entry(turn_put_off, cpu) > put_off + (s64)margin_ns;
}

/* End a turn of a task that is due later: on the task's own CPU, or on another, each CPU in its time. */
static __always_inline void preempt_for(const struct task_struct *p, s64 put_off)
{
	u32 own = sx_task_cpu(p), other = sx_another(own, cpu_ids, __sync_fetch_and_add(&next_look, 1));

	if (may_end_turn(own, put_off))
		sx_kick_cpu(own, SX_KICK_PREEMPT);
	else if (sx_in_mask_of(p, other) && may_end_turn(other, put_off))
		sx_kick_cpu(other, SX_KICK_PREEMPT);
}

s32 SX_OP(edf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(edf_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool woken = enq_flags & SX_ENQ_WAKEUP;
	s64 put_off = put_off_ns(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, EDF_QUEUE, slice_ns, put_off, enq_flags);
	if (!sx_wake_idle_cpu_for(p) && woken)
		preempt_for(p, put_off);
}

void SX_OP(edf_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(EDF_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(edf_running, struct task_struct *p)
{
	*sx_entry(turn_began, sx_task_cpu(p)) = sx_now();
	*sx_entry(turn_put_off, sx_task_cpu(p)) = put_off_ns(p);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(EDF_QUEUE), cpus));
}

void SX_OP(edf_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(EDF_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(edf_init)
{
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return sx_create_dsq(EDF_QUEUE);
}

void SX_OP_SLEEPABLE(edf_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(edf,
       .select_cpu = (void *)edf_select_cpu,
       .enqueue = (void *)edf_enqueue,
       .dispatch = (void *)edf_dispatch,
       .running = (void *)edf_running,
       .update_idle = (void *)edf_update_idle,
       .cpu_online = (void *)edf_cpu_online,
       .cpu_offline = (void *)edf_cpu_offline,
       .init = (void *)edf_init,
       .exit = (void *)edf_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
