/* SPDX-License-Identifier: GPL-2.0-only */
/* Tasks: slices, vtimes, weights, where they may run, and comparing times that wrap. */
#ifndef SX_TASK_H
#define SX_TASK_H

#define SX_PF_KTHREAD 0x00200000 /* PF_KTHREAD is a macro of the kernel's, so it is in no BTF */
#define SX_WEIGHT_NICE_0 100ULL	 /* p->scx.weight runs from 1 to 10000 */

/* 6.19 and later; before, a policy writes the fields itself, which later kernels warn about. */
bool scx_bpf_task_set_slice___sx(struct task_struct *p, u64 slice) __ksym __weak;
bool scx_bpf_task_set_dsq_vtime___sx(struct task_struct *p, u64 vtime) __ksym __weak;

/* a comes before b, on a clock that wraps. */
static __always_inline bool sx_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

/* Give a running task slice ns from now on. */
static __always_inline void sx_set_slice(struct task_struct *p, u64 slice)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice___sx))
		scx_bpf_task_set_slice___sx(p, slice);
	else
		p->scx.slice = slice;
}

/* Set the vtime of a task that waits in no ordered queue. */
static __always_inline void sx_set_vtime(struct task_struct *p, u64 vtime)
{
	if (bpf_ksym_exists(scx_bpf_task_set_dsq_vtime___sx))
		scx_bpf_task_set_dsq_vtime___sx(p, vtime);
	else
		p->scx.dsq_vtime = vtime;
}

/* CPU time in ns as vtime: nice 0 pays as much as it uses, a task of twice the weight half of it. */
static __always_inline u64 sx_scale_by_weight(u64 cpu_ns, u32 weight)
{
	return cpu_ns * SX_WEIGHT_NICE_0 / (weight ?: 1);
}

/* Move a vtime into [now - lag, now + lead]: no credit saved up by sleeping beyond lag, no debt beyond lead. */
static __always_inline u64 sx_clamp_vtime(u64 vtime, u64 now, u64 lag, u64 lead)
{
	if (sx_before(vtime, now - lag))
		return now - lag;
	if (sx_before(now + lead, vtime))
		return now + lead;
	return vtime;
}

static __always_inline bool sx_is_kthread(const struct task_struct *p)
{
	return p->flags & SX_PF_KTHREAD;
}

/* Allowed on one CPU only. */
static __always_inline bool sx_is_pinned(const struct task_struct *p)
{
	return p->nr_cpus_allowed == 1;
}

/*
 * Inside migrate_disable. BPF programs of a PREEMPT_RCU kernel disable migration themselves, so a count of 1 means
 * nothing for the task they run in.
 */
static __always_inline bool sx_is_migration_disabled(const struct task_struct *p)
{
	if (p->migration_disabled == 1)
		return bpf_get_current_task_btf()->pid != p->pid;
	return p->migration_disabled;
}

/* Is a CPU in the task's mask? Enough for a kick there: ask sx_can_run_on() before a task is inserted. */
static __always_inline bool sx_in_mask_of(const struct task_struct *p, s32 cpu)
{
	return bpf_cpumask_test_cpu___sx(cpu, p->cpus_ptr);
}

/* May the policy put this task on this CPU now? The answer can be stale by the time it is used in enqueue. */
static __always_inline bool sx_can_run_on(const struct task_struct *p, s32 cpu)
{
	if (cpu == sx_task_cpu(p))
		return true;
	return !sx_is_migration_disabled(p) && sx_in_mask_of(p, cpu);
}

#endif
