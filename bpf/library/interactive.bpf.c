// SPDX-License-Identifier: GPL-2.0-only
/*
 * interactive - who gives up the CPU of itself goes before who must be made to
 *
 * What: One queue for the machine, ordered by how a task's turns end: one whose turns all end in sleep is due at once,
 *   one that always uses up its slice is put off by wait_ns, and others in between. A task that wakes takes an idle CPU
 *   if there is one, by the kernel's choice. Who wakes and finds no idle CPU ends a turn that has lasted protect_ns.
 * Good for: Shells, terminals, editors, servers that wait for input or for each other, beside compilers and other work
 *   that computes without a break; new tasks, which count as interactive until their turns say otherwise.
 * Weak at: A task that sleeps briefly after each long burst passes for interactive; tasks that are preempted often are
 *   taken for hogs. Throughput of CPU-bound tasks. Nice levels are ignored.
 * Mechanisms: order=interactive, queues=one, place=kernel, slice=bounded, preempt=woken, steal=none, class=none,
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

const volatile u64 slice_ns = 4 * SX_MS; /* ns, 500000..50000000: longest time on a CPU while others wait */
const volatile u64 wait_ns = 100 * SX_MS; /* ns, 10000000..1000000000: the longest that a task is put off */
const volatile bool preempt = true; /* a waking task that finds no idle CPU ends a running task's turn */
const volatile u64 protect_ns = 100 * SX_US; /* ns, 0..10000000: a turn is not ended by a waking task before this */

enum interactive_dsq {
	INTERACTIVE_QUEUE = 0,
};

struct task_ctx {
	u32 sleeps; /* share of its turns that end in sleep */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 turn_began[SX_MAX_CPUS];
static u32 cpu_ids, next_look;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(interactive)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

/* How long the task can be put off from now on. */
static __always_inline s64 put_off_ns(const struct task_ctx *tc)
{
	return sx_put_off_by_sleep(tc->sleeps, wait_ns);
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool is_still_first(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);

	if (!tc || !sx_can_peek())
		return false;
	return !sx_head_overdue(INTERACTIVE_QUEUE, sx_now() + put_off_ns(tc), 0);
}

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

s32 SX_OP_SLEEPABLE(interactive_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	tc->sleeps = SX_ALL; /* until it shows that it does not */
	return 0;
}

s32 SX_OP(interactive_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(interactive_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	bool woken = enq_flags & SX_ENQ_WAKEUP;

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, INTERACTIVE_QUEUE, slice_ns, tc ? put_off_ns(tc) : 0, enq_flags);
	if (!sx_wake_idle_cpu_for(p) && woken && preempt)
		preempt_for(p);
}

void SX_OP(interactive_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && is_still_first(prev)) || (!sx_move_to_local(INTERACTIVE_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(interactive_running, struct task_struct *p)
{
	*sx_entry(turn_began, sx_task_cpu(p)) = sx_now();
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(INTERACTIVE_QUEUE), cpus));
}

void SX_OP(interactive_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		sx_count_turn(&tc->sleeps, !runnable);
}

void SX_OP(interactive_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(INTERACTIVE_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(interactive_init)
{
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	return sx_create_dsq(INTERACTIVE_QUEUE);
}

void SX_OP_SLEEPABLE(interactive_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(interactive,
       .init_task = (void *)interactive_init_task,
       .select_cpu = (void *)interactive_select_cpu,
       .enqueue = (void *)interactive_enqueue,
       .dispatch = (void *)interactive_dispatch,
       .running = (void *)interactive_running,
       .stopping = (void *)interactive_stopping,
       .update_idle = (void *)interactive_update_idle,
       .cpu_online = (void *)interactive_cpu_online,
       .cpu_offline = (void *)interactive_cpu_offline,
       .init = (void *)interactive_init,
       .exit = (void *)interactive_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
