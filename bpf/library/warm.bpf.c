// SPDX-License-Identifier: GPL-2.0-only
/*
 * warm - work on few CPUs, which stay warm, while the others sleep
 *
 * What: One queue for the machine, first come, first served. A task that wakes takes an idle CPU that ran something
 *   less than warm_ns ago, its own before the lowest, so that work stays on few CPUs, and a cold one only if there is
 *   none.
 * Good for: Light loads of tasks that wake often, on machines where a CPU that has slept deeply wakes slowly or runs
 *   slowly at first: they stay on CPUs that are awake and fast.
 * Weak at: Loads that need all CPUs at once, which are spread one wake-up later; tasks that profit from a whole core.
 *   Where waking a CPU costs nothing it is `fifo`. Nice levels are ignored.
 * Mechanisms: order=fifo, queues=one, place=warm, slice=bounded, preempt=none, steal=none, class=none, guard=round
 * Workloads: wakeup
 */
#include "sx/sx.h"
#include "primitives/cpus.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/warm.bpf.h"

const volatile u64 slice_ns = 10 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU while others wait */
const volatile u64 warm_ns = 20 * SX_MS; /* ns, 100000..1000000000: how long after its last turn a CPU counts as warm */

enum warm_dsq {
	WARM_QUEUE = 0,
};

static u64 ran_at[SX_MAX_CPUS]; /* when the last turn on a CPU ended */
static u32 cpu_ids;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(warm)

s32 SX_OP(warm_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_warm_cpu(p, prev_cpu, wake_flags, slice_ns, ran_at, cpu_ids, warm_ns);
}

void SX_OP(warm_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert(p, WARM_QUEUE, slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(warm_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(WARM_QUEUE) && sx_wants_cpu(prev))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(warm_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(WARM_QUEUE), cpus));
}

void SX_OP(warm_stopping, struct task_struct *p, bool runnable)
{
	*sx_entry(ran_at, sx_task_cpu(p)) = sx_now();
}

void SX_OP(warm_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(WARM_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(warm_init)
{
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return sx_create_dsq(WARM_QUEUE);
}

void SX_OP_SLEEPABLE(warm_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(warm,
       .select_cpu = (void *)warm_select_cpu,
       .enqueue = (void *)warm_enqueue,
       .dispatch = (void *)warm_dispatch,
       .running = (void *)warm_running,
       .stopping = (void *)warm_stopping,
       .update_idle = (void *)warm_update_idle,
       .cpu_online = (void *)warm_cpu_online,
       .cpu_offline = (void *)warm_cpu_offline,
       .init = (void *)warm_init,
       .exit = (void *)warm_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
