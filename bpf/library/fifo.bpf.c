// SPDX-License-Identifier: GPL-2.0-only
/*
 * fifo - one queue for the whole machine, first come first served
 *
 * What: A task that wakes takes an idle CPU if there is one, and queues otherwise. Every CPU takes the first task of
 *   the one queue that it may run, and lets it run until it sleeps or its slice ends; then the task queues again at the
 *   end.
 * Good for: Throughput work whose tasks are alike: long slices mean few context switches, and no CPU idles while a task
 *   waits. A yardstick for every other policy.
 * Weak at: Anything that must answer fast while CPUs are busy: a waking task waits for all that came before it. Nice
 *   levels are ignored. One queue is a lock that many CPUs share.
 * Mechanisms: order=fifo, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=none, guard=round
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"

const volatile u64 slice_ns = 20 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU while others wait */

enum fifo_dsq {
	FIFO_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(fifo)

s32 SX_OP(fifo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(fifo_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert(p, FIFO_QUEUE, slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(fifo_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(FIFO_QUEUE) && sx_wants_cpu(prev))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(fifo_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(FIFO_QUEUE), cpus));
}

void SX_OP(fifo_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(FIFO_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(fifo_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(FIFO_QUEUE);
}

void SX_OP_SLEEPABLE(fifo_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(fifo,
       .select_cpu = (void *)fifo_select_cpu,
       .enqueue = (void *)fifo_enqueue,
       .dispatch = (void *)fifo_dispatch,
       .running = (void *)fifo_running,
       .update_idle = (void *)fifo_update_idle,
       .cpu_online = (void *)fifo_cpu_online,
       .cpu_offline = (void *)fifo_cpu_offline,
       .init = (void *)fifo_init,
       .exit = (void *)fifo_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
