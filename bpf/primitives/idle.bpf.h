/* SPDX-License-Identifier: GPL-2.0-only */
/* Idle CPUs: give a waking task one at once, and let none sleep while a task it could run waits. */
#ifndef SX_PRIMITIVE_IDLE_H
#define SX_PRIMITIVE_IDLE_H

#include "sx/sx.h"

/*
 * The whole of a select_cpu callback: where an idle CPU is found the task goes straight to it (enqueue is then skipped),
 * else the task stays where the kernel proposes and is enqueued.
 */
static __always_inline s32 sx_place_on_idle_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags, u64 slice_ns)
{
	bool idle = false;
	s32 cpu = sx_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		sx_insert(p, SX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

/* The same, but the CPU that p last ran on before any other, also where its core is half busy: its caches are warm. */
static __always_inline s32 sx_place_on_prev_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags, u64 slice_ns)
{
	if (!bpf_cpumask_test_cpu___sx(prev_cpu, p->cpus_ptr) || !sx_claim_idle_cpu(prev_cpu))
		return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
	sx_insert(p, SX_DSQ_LOCAL, slice_ns, 0);
	return prev_cpu;
}

/* The same, but never beside its waker for the waker's sake: without that, the kernel looks for a whole idle core first. */
static __always_inline s32 sx_place_on_idle_core(struct task_struct *p, s32 prev_cpu, u64 wake_flags, u64 slice_ns)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags & ~SX_WAKE_SYNC, slice_ns);
}

/*
 * After inserting a task into a queue of one's own: wake an idle CPU that may run it; whether there was one. Needed on every
 * enqueue, since select_cpu is skipped for pinned tasks and for those whose slice ended. A CPU that goes offline kicks
 * nobody, so it claims none: what its last steps wake is found by the CPU that the kernel reschedules for it.
 */
static __always_inline bool sx_wake_idle_cpu_for(const struct task_struct *p)
{
	s32 cpu;

	if (!sx_can_kick())
		return false;
	cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu___sx(cpu, SX_KICK_IDLE);
	return cpu >= 0;
}

/* The same, but a CPU of a whole idle core before others. */
static __always_inline bool sx_wake_idle_core_for(const struct task_struct *p)
{
	s32 cpu;

	if (!sx_can_kick())
		return false;
	cpu = sx_pick_idle_cpu(p->cpus_ptr, SX_PICK_IDLE_CORE);
	if (cpu < 0)
		cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu___sx(cpu, SX_KICK_IDLE);
	return cpu >= 0;
}

/*
 * The body of update_idle, with SCX_OPS_KEEP_BUILTIN_IDLE: a CPU that found its queues empty and goes idle looks again
 * if something was queued meanwhile. The kernel sets the idle bit before this call, so either the enqueuer saw the bit
 * and kicked, or this CPU sees the task. Called for real transitions only: a task that it may not run costs one look.
 */
static __always_inline void sx_recheck_before_idle(s32 cpu, bool idle, bool work_waits)
{
	if (idle && work_waits)
		sx_kick_cpu(cpu, 0);
}

#endif
