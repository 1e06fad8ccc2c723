// SPDX-License-Identifier: GPL-2.0-only
/* A root policy that admits a sub-scheduler, grants it every CPU, and gives it every other turn. */
#include "sub_scheduler.h"

#define QUEUE 0x100

const volatile u32 cpus = 1;
volatile u64 child, turn, nr_handed_on;

SEC("struct_ops/root_enqueue") void BPF_PROG(root_enqueue, struct task_struct *p, u64 flags)
{
	scx_bpf_dsq_insert(p, QUEUE, ONE_TURN_NS, flags);
}

SEC("struct_ops/root_dispatch") void BPF_PROG(root_dispatch, s32 cid, struct task_struct *prev)
{
	u64 id = child;
	bool first = turn++ & 1;

	if (id && first && scx_bpf_sub_dispatch(id)) {
		nr_handed_on++;
		return;
	}
	if (!scx_bpf_dsq_move_to_local(QUEUE) && id && !first && scx_bpf_sub_dispatch(id))
		nr_handed_on++;
}

SEC("struct_ops.s/root_sub_attach") s32 BPF_PROG(root_sub_attach, struct scx_sub_attach_args *args)
{
	u64 id = args->ops->sub_cgroup_id;
	s32 refused;

	cpus_of.nr_cids = cpus;
	cpus_of.alloc_words = 2;
	cpus_of.bits[0] = cpus < 64 ? (1ULL << cpus) - 1 : ~0ULL;
	refused = scx_bpf_sub_grant(id, SCX_CAP_ENQ_IMMED | SCX_CAP_ENQ | SCX_CAP_PREEMPT,
				    (const struct scx_cmask __arena *)&cpus_of, NULL);
	if (!refused)
		child = id;
	return refused;
}

SEC("struct_ops.s/root_sub_detach") void BPF_PROG(root_sub_detach, struct scx_sub_detach_args *args)
{
	child = 0;
}

SEC("struct_ops.s/root_init") s32 BPF_PROG(root_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link") struct sched_ext_ops_cid ops = {
	.enqueue = (void *)root_enqueue,
	.dispatch = (void *)root_dispatch,
	.sub_attach = (void *)root_sub_attach,
	.sub_detach = (void *)root_sub_detach,
	.init = (void *)root_init,
	.timeout_ms = 5000,
	.name = "root",
};
