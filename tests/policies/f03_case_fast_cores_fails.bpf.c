// fails: survive: not have looked
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* Work goes to the fast CPUs, those above half of the scale and faster than the slowest one; slow ones only take what is pinned. */
#include "sx/sx.h"

enum { SWIFT_Q = 11, PINNED_Q = 12 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(swift)

static u32 slowest = 1024;

void SX_OP(swift_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	sx_insert(p, p->nr_cpus_allowed < cpus ? PINNED_Q : SWIFT_Q, 5 * SX_MS, enq_flags);
	cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		sx_kick_cpu(cpu, SX_KICK_IDLE);
}

void SX_OP(swift_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_move_to_local(PINNED_Q))
		return;
	if (sx_cpuperf_cap(cpu) > slowest)
		sx_move_to_local(SWIFT_Q);
}

s32 SX_OP_SLEEPABLE(swift_init)
{
	u32 ids = sx_nr_cpu_ids();
	u32 i;
	s32 err;

	cpus = sx_nr_online_cpus();
	bpf_for(i, 0, ids) {
		u32 cap = sx_cpuperf_cap(i);

		if (cap < slowest)
			slowest = cap;
	}
	err = sx_create_dsq(SWIFT_Q);
	return err ? err : sx_create_dsq(PINNED_Q);
}

void SX_OP_SLEEPABLE(swift_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(swift, .enqueue = (void *)swift_enqueue, .dispatch = (void *)swift_dispatch, .init = (void *)swift_init,
       .cpu_online = (void *)swift_cpu_online, .cpu_offline = (void *)swift_cpu_offline,
       .exit = (void *)swift_exit, .timeout_ms = 5000);
