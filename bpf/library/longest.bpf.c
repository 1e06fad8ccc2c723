// SPDX-License-Identifier: GPL-2.0-only
/*
 * longest - who has used most CPU time goes on, so that long jobs end early
 *
 * What: One queue for the machine, ordered by CPU time used so far: a task that has used long_ns is due at once, one
 *   with less is put off the more, up to wait_ns; short bursts, up to burst_ns, go before all. A task that wakes takes
 *   an idle CPU if there is one, by the kernel's choice. What has waited aged_ns past its due time is let in for a
 *   short turn, so that the order holds for the rest.
 * Good for: Batches of jobs of unknown and very unequal length that end with the last job: once a job has shown that it
 *   is long it keeps its CPU, and short jobs fill the rest. No hints are needed; `ljf` does better where lengths are
 *   known.
 * Weak at: A long job that starts last is found out late. Latency and mean completion time of short jobs, which wait
 *   for the long ones. Daemons that have run for days count as long. Nice levels are ignored.
 * Mechanisms: order=longest, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=none, guard=short
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/burst.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/putoff.bpf.h"
#include "primitives/slice.bpf.h"

const volatile u64 slice_ns = 20 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU while others wait */
const volatile u64 long_ns = 100 * SX_MS; /* ns, 1000000..100000000000: CPU time with which a job counts as long */
const volatile u64 wait_ns = 400 * SX_MS; /* ns, 10000000..1000000000: the longest that a task is put off */
const volatile u64 burst_ns = 4 * SX_MS; /* ns, 500000..50000000: CPU time between wake-up and sleep up to which a burst is short */
const volatile u64 aged_ns = 100 * SX_MS; /* ns, 1000000..500000000: how long past its due time a task has waited too long */
const volatile u64 aged_slice_ns = 4 * SX_MS; /* ns, 500000..20000000: turn of a task that has waited too long */

enum longest_dsq {
	LONGEST_QUEUE = 0,
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
SX_COUNTS_CPUS(longest)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_struct *p, const struct task_ctx *tc)
{
	if (sx_expected_burst_ns(p, &tc->burst) < burst_ns)
		return 0;
	return sx_put_off_short(p->se.sum_exec_runtime, long_ns, wait_ns);
}

/* Short for what has waited long past its due time, so that the order holds for the rest of the time. */
static __always_inline u64 turn_ns(const struct task_struct *p)
{
	return sx_before(p->scx.dsq_vtime + aged_ns, sx_now()) ? aged_slice_ns : slice_ns;
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);

	if (!tc || !sx_can_peek())
		return false;
	return !sx_head_overdue(LONGEST_QUEUE, sx_now() + put_off_ns(prev, tc), 0);
}

s32 SX_OP_SLEEPABLE(longest_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	sx_mark_cpu_time(p, &tc->burst.mark);
	return 0;
}

s32 SX_OP(longest_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(longest_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, LONGEST_QUEUE, slice_ns, tc ? put_off_ns(p, tc) : 0, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(longest_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(LONGEST_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(longest_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(turn_ns(p), sx_dsq_nr_queued(LONGEST_QUEUE), cpus));
}

void SX_OP(longest_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && (deq_flags & SX_DEQ_SLEEP))
		sx_end_burst(p, &tc->burst);
}

void SX_OP(longest_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(LONGEST_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(longest_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(LONGEST_QUEUE);
}

void SX_OP_SLEEPABLE(longest_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(longest,
       .init_task = (void *)longest_init_task,
       .select_cpu = (void *)longest_select_cpu,
       .enqueue = (void *)longest_enqueue,
       .dispatch = (void *)longest_dispatch,
       .running = (void *)longest_running,
       .quiescent = (void *)longest_quiescent,
       .update_idle = (void *)longest_update_idle,
       .cpu_online = (void *)longest_cpu_online,
       .cpu_offline = (void *)longest_cpu_offline,
       .init = (void *)longest_init,
       .exit = (void *)longest_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
