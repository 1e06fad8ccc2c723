// SPDX-License-Identifier: GPL-2.0-only
/*
 * percpu - a queue for each CPU, and CPUs without work take from the others
 *
 * What: A task that wakes takes an idle CPU if there is one, else it queues on its own CPU, first come first served. A
 *   CPU whose queue is empty takes the first task of another's; one with a clearly shorter queue than another's takes a
 *   task from there every second turn, so that loads even out and its own tasks never starve.
 * Good for: Tasks that profit from warm caches and come in similar numbers per CPU; machines with many CPUs, where one
 *   shared queue's lock would hurt.
 * Weak at: Strict order between tasks of different CPUs; a few long tasks among many short ones; wake-up latency when
 *   all CPUs are busy. Nice levels are ignored.
 * Mechanisms: order=fifo, queues=cpu, place=kernel, slice=bounded, preempt=none, steal=imbalance, class=none,
 *   guard=round
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/steal.bpf.h"

const volatile u64 slice_ns = 10 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU while others wait */
const volatile u32 imbalance = 1; /* tasks, 1..64: how much longer a queue must be than one's own to be taken from */
const volatile u32 probes = 4; /* queues, 1..64: how many others are compared with one's own at each turn */

enum percpu_dsq {
	PERCPU_QUEUE = 0, /* the queue of CPU n is PERCPU_QUEUE + n */
};

static bool took_last_turn[SX_MAX_CPUS];
static u32 queues;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(percpu)

/* Take a task from a clearly longer queue, but not twice running. */
static __always_inline bool even_out(u32 cpu, bool prev_waits)
{
	u32 own = cpu, longest;
	bool *took = sx_entry(took_last_turn, cpu);

	*took = !*took;
	if (!*took)
		return false;
	longest = sx_longest_queue(own, queues, probes);
	if (sx_dsq_nr_queued(longest) < sx_dsq_nr_queued(own) + prev_waits + (s32)imbalance)
		return false;
	return longest != own && sx_move_to_local(longest);
}

s32 SX_OP(percpu_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(percpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert(p, PERCPU_QUEUE + sx_task_cpu(p), slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(percpu_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if (even_out(cpu, prev_waits) || sx_move_to_local(PERCPU_QUEUE + cpu) || sx_steal_any(cpu, queues))
		return;
	if (prev_waits)
		sx_set_slice(prev, slice_ns);
}

void SX_OP(percpu_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(PERCPU_QUEUE + sx_task_cpu(p)), 1));
}

void SX_OP(percpu_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, idle && sx_any_queued(queues));
}

s32 SX_OP_SLEEPABLE(percpu_init)
{
	s32 queue, err;

	cpus = sx_nr_online_cpus();
	queues = sx_nr_cpu_ids();
	bpf_for(queue, 0, (s32)queues) {
		err = sx_create_dsq(PERCPU_QUEUE + queue);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(percpu_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(percpu,
       .select_cpu = (void *)percpu_select_cpu,
       .enqueue = (void *)percpu_enqueue,
       .dispatch = (void *)percpu_dispatch,
       .running = (void *)percpu_running,
       .update_idle = (void *)percpu_update_idle,
       .cpu_online = (void *)percpu_cpu_online,
       .cpu_offline = (void *)percpu_cpu_offline,
       .init = (void *)percpu_init,
       .exit = (void *)percpu_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
