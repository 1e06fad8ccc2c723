// SPDX-License-Identifier: GPL-2.0-only
/*
 * picktwo - a queue for each CPU, and who finds none idle joins the shorter of two
 *
 * What: A queue for each CPU, first come, first served. A task that wakes takes an idle CPU if there is one; else the
 *   shorter of two queues, its own CPU's and one more. A CPU whose queue is empty takes from another's, and every
 *   visit_every-th turn another's goes first.
 * Good for: Many short tasks on many CPUs: two looks keep queues nearly as even as looking at all of them, at a cost
 *   that does not grow with the machine. No shared queue, no shared lock.
 * Weak at: Warm caches: a task moves whenever another queue is shorter. Machines of two CPUs, where the two are all
 *   there are. Queues count tasks, not their work. Nice levels are ignored.
 * Mechanisms: order=fifo, queues=cpu, place=two, slice=bounded, preempt=none, steal=empty, class=none, guard=round
 * Workloads: batch, wakeup
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/steal.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 500000..100000000: longest time on a CPU while others wait */
const volatile u32 visit_every = 8; /* turns, 2..64: after how many turns another's queue goes first */

enum picktwo_dsq {
	PICKTWO_QUEUE = 0, /* the queue of CPU n is PICKTWO_QUEUE + n */
};

static u32 turns[SX_MAX_CPUS];
static u32 queues, next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(picktwo)

/* Does another's queue go first this time? Its CPUs may have no time for some that wait there, or be off. */
static __always_inline bool visits_others(u32 cpu)
{
	u32 *turn = sx_entry(turns, cpu);

	*turn += 1;
	return *turn % visit_every == 0;
}

/* The CPU with the shorter queue: the task's own, or another, each in its time. */
static __always_inline u32 shorter_of_two(const struct task_struct *p)
{
	u32 own = sx_task_cpu(p), other = sx_another(own, queues, __sync_fetch_and_add(&next_look, 1));

	if (!sx_can_run_on(p, other) || !sx_cpu_online(other))
		return own;
	return sx_dsq_nr_queued(other) < sx_dsq_nr_queued(own) ? other : own;
}

s32 SX_OP(picktwo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(picktwo_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 cpu = shorter_of_two(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert(p, PICKTWO_QUEUE + cpu, slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(picktwo_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((visits_others(cpu) && sx_steal_any(cpu, queues)) || sx_move_to_local(PICKTWO_QUEUE + cpu) ||
	    sx_steal_any(cpu, queues))
		return;
	if (prev_waits)
		sx_set_slice(prev, slice_ns);
}

void SX_OP(picktwo_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(PICKTWO_QUEUE + sx_task_cpu(p)), 1));
}

void SX_OP(picktwo_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, idle && sx_any_queued(queues));
}

s32 SX_OP_SLEEPABLE(picktwo_init)
{
	s32 queue, err;

	cpus = sx_nr_online_cpus();
	queues = sx_nr_cpu_ids();
	bpf_for(queue, 0, (s32)queues) {
		err = sx_create_dsq(PICKTWO_QUEUE + queue);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(picktwo_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(picktwo,
       .select_cpu = (void *)picktwo_select_cpu,
       .enqueue = (void *)picktwo_enqueue,
       .dispatch = (void *)picktwo_dispatch,
       .running = (void *)picktwo_running,
       .update_idle = (void *)picktwo_update_idle,
       .cpu_online = (void *)picktwo_cpu_online,
       .cpu_offline = (void *)picktwo_cpu_offline,
       .init = (void *)picktwo_init,
       .exit = (void *)picktwo_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
