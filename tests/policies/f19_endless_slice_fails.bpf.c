// fails: object: SCX_SLICE_INF
// bug: F19
// SPDX-License-Identifier: GPL-2.0-only
/* Slices never end, and nothing ends them: one hog per CPU, and the others wait for ever. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f19_endless_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f19_endless)

s32 SX_OP(f19_endless_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_INF);
}

void SX_OP(f19_endless_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_INF, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f19_endless_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f19_endless_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f19_endless_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f19_endless,
       .select_cpu = (void *)f19_endless_select_cpu,
       .enqueue = (void *)f19_endless_enqueue,
       .dispatch = (void *)f19_endless_dispatch,
       .cpu_online = (void *)f19_endless_cpu_online,
       .cpu_offline = (void *)f19_endless_cpu_offline,
       .init = (void *)f19_endless_init,
       .exit = (void *)f19_endless_exit,
       .timeout_ms = 5000);
