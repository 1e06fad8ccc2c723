// fails: survive: not have looked
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* Free work goes to CPUs that are faster than the scale goes. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { BOUND_Q = 11, FREE_Q = 12 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f03_full_speed)

void SX_OP(f03_full_speed_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, p->nr_cpus_allowed == 1 ? BOUND_Q : FREE_Q, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f03_full_speed_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_move_to_local(BOUND_Q))
		return;
	if (sx_cpuperf_cap(cpu) <= 1024)
		return;
	sx_move_to_local(FREE_Q);
}

s32 SX_OP_SLEEPABLE(f03_full_speed_init)
{
	s32 err = sx_create_dsq(BOUND_Q);

	return err ?: sx_create_dsq(FREE_Q);
}

void SX_OP_SLEEPABLE(f03_full_speed_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f03_full_speed,
       .enqueue = (void *)f03_full_speed_enqueue,
       .dispatch = (void *)f03_full_speed_dispatch,
       .init = (void *)f03_full_speed_init,
       .cpu_online = (void *)f03_full_speed_cpu_online,
       .cpu_offline = (void *)f03_full_speed_cpu_offline,
       .exit = (void *)f03_full_speed_exit,
       .timeout_ms = 5000);
