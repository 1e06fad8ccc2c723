// SPDX-License-Identifier: GPL-2.0-only
/*
 * placement - first come first served, with every choice of where a knob: for comparing placements on machines
 *
 * Not a policy for anybody's host: each of its settings is what some policy does, done plainly.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/steal.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 100000..100000000: how long a task runs while others wait */
const volatile u32 a_queue = 64; /* CPUs, 1..64: that share a queue; others take from it only when theirs is empty */
const volatile u32 order = 0; /* 0..5: previous CPU first; whole cores; lowest; the longest idle; the waker's queue's; others' */
const volatile u32 leaves = 0; /* CPUs, 0..63: the last ones, which execute only what may run nowhere else */

bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym __weak;

enum { PREVIOUS, CORES, LOWEST, ROTATE, NEAR, FAR, MOST = 64 };

static u32 queues, next_cpu;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(placement)

static __always_inline bool is_left(u32 cpu)
{
	return cpu + leaves >= sx_nr_cpu_ids();
}

static __always_inline bool claims(const struct task_struct *p, u32 cpu)
{
	return !is_left(cpu) && bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && sx_claim_idle_cpu(cpu);
}

/* The `at`th CPU to be asked, by one that wakes on CPU `here`. With two threads a core, whole cores first are the even ones, then the odd ones. */
static __always_inline u32 asked(u32 at, u32 count, u32 here)
{
	if (order == CORES && count > 1)
		return at < (count + 1) / 2 ? 2 * at : 2 * (at - (count + 1) / 2) + 1;
	if (order == ROTATE)
		return (next_cpu + at) % count;
	if (order == NEAR || order == FAR)
		return ((here / (a_queue ?: 1) + (order == FAR)) * a_queue + at) % count;
	return at;
}

static __always_inline s32 idle_cpu(const struct task_struct *p, s32 prev_cpu)
{
	u32 count = sx_nr_cpu_ids(), here = bpf_get_smp_processor_id(), at;

	if (!count)
		return -1;
	if (order == PREVIOUS && claims(p, prev_cpu))
		return prev_cpu;
	bpf_for(at, 0, MOST) {
		u32 cpu;

		if (at >= count)
			break;
		cpu = asked(at, count, here);
		if (claims(p, cpu)) {
			next_cpu = cpu + 1;
			return cpu;
		}
	}
	return -1;
}

s32 SX_OP(placement_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = idle_cpu(p, prev_cpu);

	if (cpu < 0)
		return prev_cpu;
	sx_insert(p, SX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SX_OP(placement_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	if (leaves && sx_is_pinned(p)) {
		sx_insert(p, SX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}
	sx_insert(p, sx_task_cpu(p) / (a_queue ?: 1), slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(placement_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 own = cpu / (a_queue ?: 1), queue;

	if (is_left(cpu) || sx_move_to_local(own))
		return;
	if (sx_wants_cpu(prev)) {
		sx_set_slice(prev, slice_ns);
		return;
	}
	bpf_for(queue, 0, MOST) {
		if (queue >= queues || sx_move_to_local(queue))
			return;
	}
}

void SX_OP(placement_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, idle && !is_left(cpu) && sx_any_queued(queues));
}

s32 SX_OP_SLEEPABLE(placement_init)
{
	s32 queue, err;

	cpus = sx_nr_online_cpus();
	queues = sx_nr_cpu_ids();
	bpf_for(queue, 0, (s32)queues) {
		err = sx_create_dsq(queue);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(placement_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(placement,
       .select_cpu = (void *)placement_select_cpu,
       .enqueue = (void *)placement_enqueue,
       .dispatch = (void *)placement_dispatch,
       .update_idle = (void *)placement_update_idle,
       .cpu_online = (void *)placement_cpu_online,
       .cpu_offline = (void *)placement_cpu_offline,
       .init = (void *)placement_init,
       .exit = (void *)placement_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
