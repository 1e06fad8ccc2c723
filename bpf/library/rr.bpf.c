// SPDX-License-Identifier: GPL-2.0-only
/*
 * rr - short turns, and whoever wakes goes first
 *
 * What: One queue ordered by due time. A task that wakes is due at once, and if no CPU is idle it ends a turn that has
 *   lasted long enough, on its own CPU or another; a task whose slice ended is due expired_wait_ns later, so waking
 *   tasks pass it, but for no longer than that.
 * Good for: Wake-up latency beside CPU-bound work: request-reply servers, pipelines, message passing, desktops.
 * Weak at: Throughput of CPU-bound tasks: more context switches and colder caches. Nice levels are ignored. Slices end
 *   at the kernel's tick (every 4 ms with HZ=250), so below that only waking tasks make turns shorter.
 * Mechanisms: order=woken, queues=one, place=kernel, slice=bounded, preempt=woken, steal=none, class=none, guard=round
 * Workloads: wakeup
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/turn.bpf.h"

const volatile u64 slice_ns = 2 * SX_MS; /* ns, 500000..20000000: longest time on a CPU while others wait */
const volatile u64 expired_wait_ns = 10 * SX_MS; /* ns, 0..500000000: how long waking tasks may pass one whose slice ended */
const volatile bool preempt = true; /* a waking task that finds no idle CPU ends a running task's turn */
const volatile u64 protect_ns = 100 * SX_US; /* ns, 0..10000000: a turn is not ended by a waking task before this */

enum rr_dsq {
	RR_QUEUE = 0,
};

static u64 turn_began[SX_MAX_CPUS];
static u32 cpu_ids, next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(rr)

/* End the longer of two turns: that on the task's own CPU, and that on another, each CPU in its time. */
static __always_inline void preempt_for(const struct task_struct *p)
{
	u32 own = sx_task_cpu(p), other = sx_another(own, cpu_ids, __sync_fetch_and_add(&next_look, 1));
	u64 now = sx_now();
	s64 own_ns = sx_turn_ns(turn_began, own, now);
	s64 other_ns = sx_in_mask_of(p, other) ? sx_turn_ns(turn_began, other, now) : 0;

	if (own_ns >= other_ns && own_ns > (s64)protect_ns)
		sx_kick_cpu(own, SX_KICK_PREEMPT);
	else if (other_ns > (s64)protect_ns)
		sx_kick_cpu(other, SX_KICK_PREEMPT);
}

s32 SX_OP(rr_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(rr_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool woken = enq_flags & SX_ENQ_WAKEUP;

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, RR_QUEUE, slice_ns, woken ? 0 : expired_wait_ns, enq_flags);
	if (!sx_wake_idle_cpu_for(p) && woken && preempt)
		preempt_for(p);
}

void SX_OP(rr_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(RR_QUEUE) && sx_wants_cpu(prev))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(rr_running, struct task_struct *p)
{
	*sx_entry(turn_began, sx_task_cpu(p)) = sx_now();
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(RR_QUEUE), cpus));
}

void SX_OP(rr_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(RR_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(rr_init)
{
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return sx_create_dsq(RR_QUEUE);
}

void SX_OP_SLEEPABLE(rr_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(rr,
       .select_cpu = (void *)rr_select_cpu,
       .enqueue = (void *)rr_enqueue,
       .dispatch = (void *)rr_dispatch,
       .running = (void *)rr_running,
       .update_idle = (void *)rr_update_idle,
       .cpu_online = (void *)rr_cpu_online,
       .cpu_offline = (void *)rr_cpu_offline,
       .init = (void *)rr_init,
       .exit = (void *)rr_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
