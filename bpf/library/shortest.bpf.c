// SPDX-License-Identifier: GPL-2.0-only
/*
 * shortest - shortest expected burst first, from each task's own history
 *
 * What: One queue for the machine, ordered by expected burst, the CPU time between a wake-up and the next sleep: the
 *   longer a task's bursts are, or the present one already is, the longer it is put off, by `stretch` times that and at
 *   most wait_ns. A task that wakes takes an idle CPU if there is one, by the kernel's choice. Who finds no idle CPU
 *   ends a turn that has lasted protect_ns if the task that runs would be due later than it by margin_ns.
 * Good for: Many short requests beside few long ones: mean and median latency of servers, interpreters, desktops, with
 *   no hint from anybody; a task that turns long is noticed while it still runs.
 * Weak at: The long requests and CPU-bound tasks, which are put off by up to wait_ns; tasks whose bursts vary at
 *   random; work whose bursts are all alike, which it serves in order of arrival. Nice levels are ignored.
 * Mechanisms: order=shortest, queues=one, place=kernel, slice=bounded, preempt=earlier, steal=none, class=none,
 *   guard=round
 * Workloads: wakeup
 */
#include "sx/sx.h"
#include "primitives/burst.bpf.h"
#include "primitives/cpus.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/putoff.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/turn.bpf.h"

const volatile u64 slice_ns = 4 * SX_MS; /* ns, 500000..50000000: longest time on a CPU while others wait */
const volatile u32 stretch = 8; /* times, 1..64: how many times its expected burst a task is put off */
const volatile u64 wait_ns = 200 * SX_MS; /* ns, 10000000..1000000000: the longest that a task is put off */
const volatile u64 protect_ns = 500 * SX_US; /* ns, 0..10000000: a turn is not ended by another task before this */
const volatile u64 margin_ns = 1 * SX_MS; /* ns, 0..500000000: how much later a running task must be due to lose its turn */

enum shortest_dsq {
	SHORTEST_QUEUE = 0,
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

static u64 turn_began[SX_MAX_CPUS];
static s64 turn_put_off[SX_MAX_CPUS]; /* of the task whose turn it is */
static u32 cpu_ids, next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(shortest)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_struct *p, const struct task_ctx *tc)
{
	return sx_put_off_by_length(sx_expected_burst_ns(p, &tc->burst), stretch, wait_ns);
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);

	if (!tc || !sx_can_peek())
		return false;
	return !sx_head_overdue(SHORTEST_QUEUE, sx_now() + put_off_ns(prev, tc), 0);
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

s32 SX_OP_SLEEPABLE(shortest_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	sx_mark_cpu_time(p, &tc->burst.mark);
	return 0;
}

s32 SX_OP(shortest_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(shortest_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	bool woken = enq_flags & SX_ENQ_WAKEUP;
	s64 put_off = tc ? put_off_ns(p, tc) : 0;

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, SHORTEST_QUEUE, slice_ns, put_off, enq_flags);
	if (!sx_wake_idle_cpu_for(p) && woken)
		preempt_for(p, put_off);
}

void SX_OP(shortest_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(SHORTEST_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(shortest_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	*sx_entry(turn_began, sx_task_cpu(p)) = sx_now();
	*sx_entry(turn_put_off, sx_task_cpu(p)) = put_off_ns(p, tc);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(SHORTEST_QUEUE), cpus));
}

void SX_OP(shortest_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && (deq_flags & SX_DEQ_SLEEP))
		sx_end_burst(p, &tc->burst);
}

void SX_OP(shortest_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(SHORTEST_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(shortest_init)
{
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return sx_create_dsq(SHORTEST_QUEUE);
}

void SX_OP_SLEEPABLE(shortest_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(shortest,
       .init_task = (void *)shortest_init_task,
       .select_cpu = (void *)shortest_select_cpu,
       .enqueue = (void *)shortest_enqueue,
       .dispatch = (void *)shortest_dispatch,
       .running = (void *)shortest_running,
       .quiescent = (void *)shortest_quiescent,
       .update_idle = (void *)shortest_update_idle,
       .cpu_online = (void *)shortest_cpu_online,
       .cpu_offline = (void *)shortest_cpu_offline,
       .init = (void *)shortest_init,
       .exit = (void *)shortest_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
