// fails: object: neither inserted nor kept
// bug: F01
// SPDX-License-Identifier: GPL-2.0-only
/* disable marks a task as gone, and nothing takes the mark back when its class is sched_ext again: it is never queued. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

struct memo {
	u64 gone;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct memo);
} memos SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f01_disabled_lost)

void SX_OP(f01_disabled_lost_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct memo *memo = bpf_task_storage_get(&memos, p, NULL, 0);

	if (memo && memo->gone)
		return;
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 SX_OP_SLEEPABLE(f01_disabled_lost_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&memos, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(f01_disabled_lost_disable, struct task_struct *p)
{
	struct memo *memo = bpf_task_storage_get(&memos, p, NULL, 0);

	if (memo)
		memo->gone = 1;
}

void SX_OP_SLEEPABLE(f01_disabled_lost_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f01_disabled_lost,
       .enqueue = (void *)f01_disabled_lost_enqueue,
       .init_task = (void *)f01_disabled_lost_init_task,
       .disable = (void *)f01_disabled_lost_disable,
       .cpu_online = (void *)f01_disabled_lost_cpu_online,
       .cpu_offline = (void *)f01_disabled_lost_cpu_offline,
       .exit = (void *)f01_disabled_lost_exit,
       .timeout_ms = 5000);
