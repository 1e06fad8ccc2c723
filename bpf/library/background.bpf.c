// SPDX-License-Identifier: GPL-2.0-only
/*
 * background - who was made nicer waits for all others
 *
 * What: One queue for the machine, first come, first served. A task that wakes takes an idle CPU if there is one, by
 *   the kernel's choice. Who finds no idle CPU ends a turn that has lasted protect_ns if the task that runs would be
 *   due later than it by margin_ns. Tasks of positive nice level are background work, which is put off by
 *   background_wait_ns more.
 * Good for: A server beside backups, builds or batch work that was started with `nice`: the niced tasks run in what the
 *   others leave, give up their CPU when one of these wakes, and still never starve.
 * Weak at: Order among tasks of the same class, which is that of arrival. Levels count by sign only. Niced work under
 *   full load, which gets a turn each time it is overdue, and little else.
 * Mechanisms: order=fifo, queues=one, place=kernel, slice=bounded, preempt=earlier, steal=none, class=nice, guard=round
 * Workloads: wakeup, batch
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/turn.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 500000..100000000: longest time on a CPU while others wait */
const volatile u64 protect_ns = 500 * SX_US; /* ns, 0..10000000: a turn is not ended by another task before this */
const volatile u64 margin_ns = 1 * SX_MS; /* ns, 0..500000000: how much later a running task must be due to lose its turn */
const volatile u64 background_wait_ns = 100 * SX_MS; /* ns, 0..500000000: how long background work is put off on top */

enum background_dsq {
	BACKGROUND_QUEUE = 0,
};

static u64 turn_began[SX_MAX_CPUS];
static s64 turn_put_off[SX_MAX_CPUS]; /* of the task whose turn it is */
static u32 cpu_ids, next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(background)

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_struct *p)
{
	return p->scx.weight < SX_WEIGHT_NICE_0 ? background_wait_ns : 0;
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev)
{
	return sx_can_peek() && !sx_head_overdue(BACKGROUND_QUEUE, sx_now() + put_off_ns(prev), 0);
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

s32 SX_OP(background_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(background_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool woken = enq_flags & SX_ENQ_WAKEUP;
	s64 put_off = put_off_ns(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, BACKGROUND_QUEUE, slice_ns, put_off, enq_flags);
	if (!sx_wake_idle_cpu_for(p) && woken)
		preempt_for(p, put_off);
}

void SX_OP(background_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(BACKGROUND_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(background_running, struct task_struct *p)
{
	*sx_entry(turn_began, sx_task_cpu(p)) = sx_now();
	*sx_entry(turn_put_off, sx_task_cpu(p)) = put_off_ns(p);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(BACKGROUND_QUEUE), cpus));
}

void SX_OP(background_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(BACKGROUND_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(background_init)
{
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return sx_create_dsq(BACKGROUND_QUEUE);
}

void SX_OP_SLEEPABLE(background_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(background,
       .select_cpu = (void *)background_select_cpu,
       .enqueue = (void *)background_enqueue,
       .dispatch = (void *)background_dispatch,
       .running = (void *)background_running,
       .update_idle = (void *)background_update_idle,
       .cpu_online = (void *)background_cpu_online,
       .cpu_offline = (void *)background_cpu_offline,
       .init = (void *)background_init,
       .exit = (void *)background_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
