// fails: survive: cgroups that have work at once
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* A queue for each cgroup, and eight places in which dispatch finds them: who is in a ninth is never moved. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#define PLACES 8

static u64 place[PLACES];
static u32 turn;

extern void bpf_cgroup_release(struct cgroup *cgrp) __weak __ksym;
extern struct cgroup *scx_bpf_task_cgroup(struct task_struct *p) __weak __ksym;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(eight)

void SX_OP(eight_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	u64 id = cgrp->kn->id;

	bpf_cgroup_release(cgrp);
	sx_insert(p, id, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(eight_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 first = __sync_fetch_and_add(&turn, 1);
	int i;

	bpf_for(i, 0, PLACES) {
		u64 id = place[(first + i) % PLACES];

		if (id && sx_move_to_local(id))
			return;
	}
}

s32 SX_OP_SLEEPABLE(eight_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 id = cgrp->kn->id;
	s32 ret = sx_create_dsq(id);
	int i;

	if (ret)
		return ret;
	bpf_for(i, 0, PLACES)
		if (__sync_val_compare_and_swap(&place[i & (PLACES - 1)], 0, id) == 0)
			break;
	return 0;
}

void SX_OP_SLEEPABLE(eight_cgroup_exit, struct cgroup *cgrp)
{
	u64 id = cgrp->kn->id;
	int i;

	bpf_for(i, 0, PLACES)
		__sync_val_compare_and_swap(&place[i & (PLACES - 1)], id, 0);
	sx_destroy_dsq(id);
}

void SX_OP_SLEEPABLE(eight_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(eight,
       .enqueue = (void *)eight_enqueue,
       .dispatch = (void *)eight_dispatch,
       .cgroup_init = (void *)eight_cgroup_init,
       .cgroup_exit = (void *)eight_cgroup_exit,
       .cpu_online = (void *)eight_cpu_online,
       .cpu_offline = (void *)eight_cpu_offline,
       .exit = (void *)eight_exit,
       .timeout_ms = 5000);
