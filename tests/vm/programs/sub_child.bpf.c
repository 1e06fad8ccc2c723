// SPDX-License-Identifier: GPL-2.0-only
/* A policy of one cgroup, which stops to dispatch when it is told to. */
#include "sub_scheduler.h"

#define QUEUE 0x200
#define SET_BY_THE_DRIVER 0x1122334455667788ULL

volatile u64 stalls, nr_dispatched, exit_kind;

SEC("struct_ops/child_enqueue") void BPF_PROG(child_enqueue, struct task_struct *p, u64 flags)
{
	scx_bpf_dsq_insert(p, QUEUE, ONE_TURN_NS, flags);
}

SEC("struct_ops/child_dispatch") void BPF_PROG(child_dispatch, s32 cid, struct task_struct *prev)
{
	if (!stalls && scx_bpf_dsq_move_to_local(QUEUE))
		nr_dispatched++;
}

SEC("struct_ops.s/child_init") s32 BPF_PROG(child_init)
{
	cpus_of.base = 0;	/* the kernel takes no program that uses no arena */
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/child_exit") void BPF_PROG(child_exit, struct scx_exit_info *info)
{
	exit_kind = info->kind;
}

SEC(".struct_ops.link") struct sched_ext_ops_cid ops = {
	.enqueue = (void *)child_enqueue,
	.dispatch = (void *)child_dispatch,
	.init = (void *)child_init,
	.exit = (void *)child_exit,
	.timeout_ms = 2000,
	.sub_cgroup_id = SET_BY_THE_DRIVER,
	.name = "child",
};
