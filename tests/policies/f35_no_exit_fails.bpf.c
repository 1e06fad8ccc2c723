// fails: object: no .exit
// bug: F35, with --require exit-record
// SPDX-License-Identifier: GPL-2.0-only
/* Nobody can learn why this policy ended: it has no exit callback. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f35_no_exit_dsq {
	QUEUE = 0,
};

SX_COUNTS_CPUS(f35_no_exit)

s32 SX_OP(f35_no_exit_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f35_no_exit_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f35_no_exit_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f35_no_exit_init)
{
	return sx_create_dsq(QUEUE);
}

SX_OPS(f35_no_exit,
       .select_cpu = (void *)f35_no_exit_select_cpu,
       .enqueue = (void *)f35_no_exit_enqueue,
       .dispatch = (void *)f35_no_exit_dispatch,
       .cpu_online = (void *)f35_no_exit_cpu_online,
       .cpu_offline = (void *)f35_no_exit_cpu_offline,
       .init = (void *)f35_no_exit_init,
       .timeout_ms = 5000);
