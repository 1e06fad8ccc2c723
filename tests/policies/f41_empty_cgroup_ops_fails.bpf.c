// fails: fair: cgroup
// bug: F41
// SPDX-License-Identifier: GPL-2.0-only
/* Says by its callbacks that it honours the weights of cgroups, and drops what it is told. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f41_empty_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f41_empty)

s32 SX_OP(f41_empty_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f41_empty_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f41_empty_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f41_empty_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	return 0;
}

void SX_OP(f41_empty_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{

}

s32 SX_OP_SLEEPABLE(f41_empty_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f41_empty_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f41_empty,
       .select_cpu = (void *)f41_empty_select_cpu,
       .enqueue = (void *)f41_empty_enqueue,
       .dispatch = (void *)f41_empty_dispatch,
       .cgroup_init = (void *)f41_empty_cgroup_init,
       .cgroup_set_weight = (void *)f41_empty_cgroup_set_weight,
       .cpu_online = (void *)f41_empty_cpu_online,
       .cpu_offline = (void *)f41_empty_cpu_offline,
       .init = (void *)f41_empty_init,
       .exit = (void *)f41_empty_exit,
       .timeout_ms = 5000);
