/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUs: which are idle, who runs on one, waking one up. */
#ifndef SX_CPU_H
#define SX_CPU_H

#define SX_KICK_IDLE bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_IDLE)
#define SX_KICK_PREEMPT bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_PREEMPT)
#define SX_WAKE_SYNC bpf_core_enum_value(enum scx_wake_flags, SCX_WAKE_SYNC)
#define SX_PICK_IDLE_CORE bpf_core_enum_value(enum scx_pick_idle_cpu_flags, SCX_PICK_IDLE_CORE)

s32 scx_bpf_select_cpu_dfl___sx(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle) __ksym __weak;
s32 scx_bpf_pick_idle_cpu___sx(const struct cpumask *cpus_allowed, u64 flags) __ksym __weak;
s32 scx_bpf_pick_any_cpu___sx(const struct cpumask *cpus_allowed, u64 flags) __ksym __weak;
bool scx_bpf_test_and_clear_cpu_idle___sx(s32 cpu) __ksym __weak;
void scx_bpf_kick_cpu___sx(s32 cpu, u64 flags) __ksym __weak;
s32 scx_bpf_task_cpu___sx(const struct task_struct *p) __ksym __weak;
bool scx_bpf_task_running___sx(const struct task_struct *p) __ksym __weak;
u32 scx_bpf_nr_cpu_ids___sx(void) __ksym __weak;
const struct cpumask *scx_bpf_get_online_cpumask___sx(void) __ksym __weak;
void scx_bpf_put_cpumask___sx(const struct cpumask *cpumask) __ksym __weak;
bool bpf_cpumask_test_cpu___sx(u32 cpu, const struct cpumask *cpumask) __ksym __weak;
u32 bpf_cpumask_weight___sx(const struct cpumask *cpumask) __ksym __weak;
u32 scx_bpf_cpuperf_cap___sx(s32 cpu) __ksym __weak;
void scx_bpf_cpuperf_set___sx(s32 cpu, u32 perf) __ksym __weak;

/* 6.18 and later */
struct task_struct *scx_bpf_cpu_curr___sx(s32 cpu) __ksym __weak;

/* 6.14 and later */
u64 scx_bpf_now___sx(void) __ksym __weak;

/* The kernel's own choice for a task that wakes; *is_idle says whether that CPU was idle and is now claimed. */
static __always_inline s32 sx_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle)
{
	return scx_bpf_select_cpu_dfl___sx(p, prev_cpu, wake_flags, is_idle);
}

/* Claim an idle CPU of the mask; negative if there is none. A claimed CPU must be kicked, or be given a task. */
static __always_inline s32 sx_pick_idle_cpu(const struct cpumask *allowed, u64 flags)
{
	return scx_bpf_pick_idle_cpu___sx(allowed, flags);
}

/* An idle CPU of the mask if there is one, else any. */
static __always_inline s32 sx_pick_any_cpu(const struct cpumask *allowed, u64 flags)
{
	return scx_bpf_pick_any_cpu___sx(allowed, flags);
}

/* Claim this CPU if it is idle. */
static __always_inline bool sx_claim_idle_cpu(s32 cpu)
{
	return scx_bpf_test_and_clear_cpu_idle___sx(cpu);
}

/* The CPU a task is on. In running and stopping use this, never the executing CPU's id: the two can differ. */
static __always_inline s32 sx_task_cpu(const struct task_struct *p)
{
	return scx_bpf_task_cpu___sx(p);
}

static __always_inline bool sx_task_running(const struct task_struct *p)
{
	return scx_bpf_task_running___sx(p);
}

/* The task on a CPU, or NULL: also on kernels before 6.18. Call it between bpf_rcu_read_lock and unlock. */
static __always_inline struct task_struct *sx_cpu_curr(s32 cpu)
{
	if (bpf_ksym_exists(scx_bpf_cpu_curr___sx))
		return scx_bpf_cpu_curr___sx(cpu);
	return NULL;
}

/* One more than the highest possible CPU id. */
static __always_inline u32 sx_nr_cpu_ids(void)
{
	return scx_bpf_nr_cpu_ids___sx();
}

/* How many CPUs are online; at least 1, which is the one that asks. */
static __always_inline u32 sx_nr_online_cpus(void)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask___sx();
	u32 cpus = bpf_cpumask_weight___sx(online);

	scx_bpf_put_cpumask___sx(online);
	return cpus;
}

static __always_inline bool sx_cpu_online(s32 cpu)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask___sx();
	bool is_online = bpf_cpumask_test_cpu___sx(cpu, online);

	scx_bpf_put_cpumask___sx(online);
	return is_online;
}

/*
 * Whether the executing CPU may kick another: not while it goes offline. A kick is an interrupt to the kicking CPU itself,
 * which a dying CPU no longer takes. The kernel (7.3) then believes one to be pending for ever, and whoever waits for one
 * there spins: the policy's own removal. Such a CPU still runs enqueue and update_idle, for what its last steps wake.
 */
static __always_inline bool sx_can_kick(void)
{
	return sx_cpu_online(bpf_get_smp_processor_id());
}

/*
 * Make a CPU look for work. SX_KICK_IDLE: only if idle; SX_KICK_PREEMPT: end the running task's slice; never both. Does
 * nothing where sx_can_kick() is false: ask that before an idle CPU is claimed in order to be kicked.
 */
static __always_inline void sx_kick_cpu(s32 cpu, u64 flags)
{
	if (sx_can_kick())
		scx_bpf_kick_cpu___sx(cpu, flags);
}

/* Monotonic ns; cheap, and the same throughout one scheduling decision where the kernel caches it (6.14). */
static __always_inline u64 sx_now(void)
{
	if (bpf_ksym_exists(scx_bpf_now___sx))
		return scx_bpf_now___sx();
	return bpf_ktime_get_ns();
}

/* The highest performance level of a CPU relative to the fastest, of 1024; and a request for one. */
static __always_inline u32 sx_cpuperf_cap(s32 cpu)
{
	return scx_bpf_cpuperf_cap___sx(cpu);
}

static __always_inline void sx_cpuperf_set(s32 cpu, u32 level)
{
	scx_bpf_cpuperf_set___sx(cpu, level);
}

#endif
