// fails: fair: idle
// bug: F23
// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracks idle CPUs itself. To spare interrupts it kicks only every fourth that it claims, and does not give the others
 * back: they sleep on, and nobody finds them any more.
 */
#include "sx/sx.h"

enum f23_claim_lost_dsq {
	QUEUE = 0,
};

u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;

enum {
	MAX_CPUS = 64,
};

static u32 idle_cpus[MAX_CPUS], claims;

/* Claim the first idle CPU, or -1. */
static __always_inline s32 claim_idle(void)
{
	s32 cpu;

	bpf_for(cpu, 0, MAX_CPUS) {
		if (cpu < 0 || cpu >= MAX_CPUS)
			break;
		if (idle_cpus[cpu] && __sync_val_compare_and_swap(&idle_cpus[cpu], 1, 0))
			return cpu;
	}
	return -1;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f23_claim_lost)

s32 SX_OP(f23_claim_lost_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return bpf_cpumask_first(p->cpus_ptr);
}

void SX_OP(f23_claim_lost_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	sx_insert(p, QUEUE, 3 * SX_MS, enq_flags);
	cpu = claim_idle();
	if (cpu >= 0 && __sync_fetch_and_add(&claims, 1) % 4 == 0)
		sx_kick_cpu(cpu, SX_KICK_IDLE);
}

void SX_OP(f23_claim_lost_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(f23_claim_lost_update_idle, s32 cpu, bool idle)
{
	if (cpu >= 0 && cpu < MAX_CPUS)
		idle_cpus[cpu & (MAX_CPUS - 1)] = idle;
}

s32 SX_OP_SLEEPABLE(f23_claim_lost_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f23_claim_lost_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f23_claim_lost,
       .select_cpu = (void *)f23_claim_lost_select_cpu,
       .enqueue = (void *)f23_claim_lost_enqueue,
       .dispatch = (void *)f23_claim_lost_dispatch,
       .update_idle = (void *)f23_claim_lost_update_idle,
       .cpu_online = (void *)f23_claim_lost_cpu_online,
       .cpu_offline = (void *)f23_claim_lost_cpu_offline,
       .init = (void *)f23_claim_lost_init,
       .exit = (void *)f23_claim_lost_exit,
       .timeout_ms = 5000);
