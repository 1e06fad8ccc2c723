// fails: survive: is unknown
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/* disable throws a task's storage away, and only init_task makes it: a task that was real-time comes back without. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

struct memo {
	u64 runs;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct memo);
} memos SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_storage_gone)

void SX_OP(f29_storage_gone_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct memo *memo = bpf_task_storage_get(&memos, p, NULL, 0);

	if (!memo) {
		sx_error("task %d is unknown", p->pid);
		return;
	}
	memo->runs++;
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 SX_OP_SLEEPABLE(f29_storage_gone_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&memos, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(f29_storage_gone_disable, struct task_struct *p)
{
	bpf_task_storage_delete(&memos, p);
}

void SX_OP_SLEEPABLE(f29_storage_gone_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_storage_gone,
       .enqueue = (void *)f29_storage_gone_enqueue,
       .init_task = (void *)f29_storage_gone_init_task,
       .disable = (void *)f29_storage_gone_disable,
       .cpu_online = (void *)f29_storage_gone_cpu_online,
       .cpu_offline = (void *)f29_storage_gone_cpu_offline,
       .exit = (void *)f29_storage_gone_exit,
       .timeout_ms = 5000);
