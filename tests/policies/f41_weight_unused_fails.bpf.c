// fails: fair: cgroup
// bug: F41
// SPDX-License-Identifier: GPL-2.0-only
/* Keeps the weight of each cgroup, and never looks at it again when it decides who runs. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f41_unused_dsq {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32);
} weights SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f41_unused)

s32 SX_OP(f41_unused_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 3 * SX_MS);
}

void SX_OP(f41_unused_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, 3 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f41_unused_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f41_unused_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u32 *weight = bpf_cgrp_storage_get(&weights, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!weight)
		return -ENOMEM;
	*weight = args->weight;
	return 0;
}

void SX_OP(f41_unused_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u32 *kept = bpf_cgrp_storage_get(&weights, cgrp, 0, 0);

	if (kept)
		*kept = weight;
}

s32 SX_OP_SLEEPABLE(f41_unused_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f41_unused_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f41_unused,
       .select_cpu = (void *)f41_unused_select_cpu,
       .enqueue = (void *)f41_unused_enqueue,
       .dispatch = (void *)f41_unused_dispatch,
       .cgroup_init = (void *)f41_unused_cgroup_init,
       .cgroup_set_weight = (void *)f41_unused_cgroup_set_weight,
       .cpu_online = (void *)f41_unused_cpu_online,
       .cpu_offline = (void *)f41_unused_cpu_offline,
       .init = (void *)f41_unused_init,
       .exit = (void *)f41_unused_exit,
       .timeout_ms = 5000);
