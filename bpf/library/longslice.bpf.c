// SPDX-License-Identifier: GPL-2.0-only
/*
 * longslice - long turns for long work, on the CPU where it ran before
 *
 * What: One queue for the machine, first come, first served. A task that wakes takes the CPU it last ran on if that is
 *   idle, also beside a busy sibling, else another idle one. A task whose bursts are long gets a slice that holds one,
 *   up to long_slice_ns.
 * Good for: CPU-bound batches, numerical work, builds: few context switches, caches and TLBs that stay warm. A task
 *   with short bursts keeps the normal slice, so it cannot grow into a hog unnoticed.
 * Weak at: Everything that must answer while CPUs are busy: who waits may wait for whole bursts of others. Nice levels
 *   are ignored.
 * Mechanisms: order=fifo, queues=one, place=previous, slice=burst, preempt=none, steal=none, class=none, guard=round
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/burst.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"

const volatile u64 slice_ns = 30 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU while others wait */
const volatile u64 long_slice_ns = 90 * SX_MS; /* ns, 1000000..100000000: longest slice of a task whose bursts are long */

enum longslice_dsq {
	LONGSLICE_QUEUE = 0,
};

struct task_ctx {
	struct sx_burst burst;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(longslice)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	return sx_slice_for_burst(tc ? sx_expected_burst_ns(p, &tc->burst) : 0, slice_ns, long_slice_ns);
}

s32 SX_OP_SLEEPABLE(longslice_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	sx_mark_cpu_time(p, &tc->burst.mark);
	return 0;
}

s32 SX_OP(longslice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_prev_cpu(p, prev_cpu, wake_flags, slice_of(p));
}

void SX_OP(longslice_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_of(p), enq_flags))
		return;
	sx_insert(p, LONGSLICE_QUEUE, slice_of(p), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(longslice_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(LONGSLICE_QUEUE) && sx_wants_cpu(prev))
		sx_set_slice(prev, slice_of(prev));
}

void SX_OP(longslice_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_of(p), sx_dsq_nr_queued(LONGSLICE_QUEUE), cpus));
}

void SX_OP(longslice_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && (deq_flags & SX_DEQ_SLEEP))
		sx_end_burst(p, &tc->burst);
}

void SX_OP(longslice_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(LONGSLICE_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(longslice_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(LONGSLICE_QUEUE);
}

void SX_OP_SLEEPABLE(longslice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(longslice,
       .init_task = (void *)longslice_init_task,
       .select_cpu = (void *)longslice_select_cpu,
       .enqueue = (void *)longslice_enqueue,
       .dispatch = (void *)longslice_dispatch,
       .running = (void *)longslice_running,
       .quiescent = (void *)longslice_quiescent,
       .update_idle = (void *)longslice_update_idle,
       .cpu_online = (void *)longslice_cpu_online,
       .cpu_offline = (void *)longslice_cpu_offline,
       .init = (void *)longslice_init,
       .exit = (void *)longslice_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
