// SPDX-License-Identifier: GPL-2.0-only
/* Tracks idle CPUs itself. What was claimed is kicked or given a task, and a CPU that finds nothing is idle again. */
#include "sx/sx.h"
#include "primitives/slice.bpf.h"

enum own_idle_dsq {
	QUEUE = 0,
};

enum {
	MAX_CPUS = 64,
};

static u32 idle_cpus[MAX_CPUS], online[MAX_CPUS];

/* Masked, not only compared: the compiler may drop a comparison that the BPF verifier needs. */
static bool claim(u32 cpu)
{
	cpu &= MAX_CPUS - 1;
	return online[cpu] && __sync_val_compare_and_swap(&idle_cpus[cpu], 1, 0);
}

/* Claim an idle CPU where p may run, or -1. */
static s32 claim_for(struct task_struct *p)
{
	s32 cpu;

	bpf_for(cpu, 0, (s32)sx_nr_cpu_ids())
		if (sx_can_run_on(p, cpu) && claim(cpu))
			return cpu;
	return -1;
}

static void set_idle(u32 cpu, u32 idle)
{
	__sync_lock_test_and_set(&idle_cpus[cpu & (MAX_CPUS - 1)], idle);
}

SX_EXIT_RECORD();

s32 SX_OP(own_idle_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = sx_can_run_on(p, prev_cpu) && claim(prev_cpu) ? prev_cpu : claim_for(p);

	if (cpu < 0)
		return prev_cpu;
	sx_insert(p, SX_DSQ_LOCAL, 10 * SX_MS, 0);
	return cpu;
}

void SX_OP(own_idle_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	sx_insert(p, QUEUE, sx_bounded_slice(10 * SX_MS, sx_dsq_nr_queued(QUEUE), 1), enq_flags);
	cpu = claim_for(p);
	if (cpu >= 0)
		sx_kick_cpu(cpu, SX_KICK_IDLE);
}

void SX_OP(own_idle_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_move_to_local(QUEUE) || (prev && (prev->scx.flags & SCX_TASK_QUEUED)))
		return;
	/* First say so, then look once more: who enqueues does it the other way round. */
	set_idle(cpu, 1);
	sx_move_to_local(QUEUE);
}

void SX_OP(own_idle_running, struct task_struct *p)
{
	set_idle(sx_task_cpu(p), 0);
}

void SX_OP(own_idle_update_idle, s32 cpu, bool idle)
{
	set_idle(cpu, idle);
}

void SX_OP_SLEEPABLE(own_idle_cpu_online, s32 cpu)
{
	online[cpu & (MAX_CPUS - 1)] = 1;
}

void SX_OP_SLEEPABLE(own_idle_cpu_offline, s32 cpu)
{
	online[cpu & (MAX_CPUS - 1)] = 0;
}

s32 SX_OP_SLEEPABLE(own_idle_init)
{
	s32 cpu, nr = sx_nr_cpu_ids();

	if (nr > MAX_CPUS)
		return -E2BIG;
	bpf_for(cpu, 0, nr)
		online[cpu & (MAX_CPUS - 1)] = sx_cpu_online(cpu);
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(own_idle_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(own_idle,
       .select_cpu = (void *)own_idle_select_cpu,
       .enqueue = (void *)own_idle_enqueue,
       .dispatch = (void *)own_idle_dispatch,
       .running = (void *)own_idle_running,
       .update_idle = (void *)own_idle_update_idle,
       .cpu_online = (void *)own_idle_cpu_online,
       .cpu_offline = (void *)own_idle_cpu_offline,
       .init = (void *)own_idle_init,
       .exit = (void *)own_idle_exit,
       .timeout_ms = 5000);
