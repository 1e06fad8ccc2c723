// fails: survive: not have looked
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* Whether free work runs is for a switch to say that nobody ever throws. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { BOUND_Q = 11, FREE_Q = 12 };

bool running_free;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f03_switched_on)

void SX_OP(f03_switched_on_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, p->nr_cpus_allowed == 1 ? BOUND_Q : FREE_Q, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f03_switched_on_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(BOUND_Q) && running_free)
		sx_move_to_local(FREE_Q);
}

s32 SX_OP_SLEEPABLE(f03_switched_on_init)
{
	s32 err = sx_create_dsq(BOUND_Q);

	return err ?: sx_create_dsq(FREE_Q);
}

void SX_OP_SLEEPABLE(f03_switched_on_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f03_switched_on,
       .enqueue = (void *)f03_switched_on_enqueue,
       .dispatch = (void *)f03_switched_on_dispatch,
       .init = (void *)f03_switched_on_init,
       .cpu_online = (void *)f03_switched_on_cpu_online,
       .cpu_offline = (void *)f03_switched_on_cpu_offline,
       .exit = (void *)f03_switched_on_exit,
       .timeout_ms = 5000);
