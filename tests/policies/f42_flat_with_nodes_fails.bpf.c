// fails: object: SCX_OPS_BUILTIN_IDLE_PER_NODE
// bug: F42
// SPDX-License-Identifier: GPL-2.0-only
/* Asks for idle CPUs to be tracked per node, and then for an idle CPU of the whole machine. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f42_flat_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f42_flat)

s32 SX_OP(f42_flat_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f42_flat_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f42_flat_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f42_flat_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f42_flat_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f42_flat,
       .select_cpu = (void *)f42_flat_select_cpu,
       .enqueue = (void *)f42_flat_enqueue,
       .dispatch = (void *)f42_flat_dispatch,
       .cpu_online = (void *)f42_flat_cpu_online,
       .cpu_offline = (void *)f42_flat_cpu_offline,
       .init = (void *)f42_flat_init,
       .exit = (void *)f42_flat_exit,
       .flags = SCX_OPS_BUILTIN_IDLE_PER_NODE,
       .timeout_ms = 5000);
