// SPDX-License-Identifier: GPL-2.0-only
/* every task has storage from init_task (which fails without it): the early return of enqueue is never taken (F01). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";
s64 ended;
u64 cpus;
struct seen { u64 times; };
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct seen);
} tasks SEC(".maps");
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym;

SEC("struct_ops/d9_enqueue")
void BPF_PROG(d9_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct seen *mine = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!mine)
		return;
	mine->times++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}
SEC("struct_ops/d9_init_task")
s32 BPF_PROG(d9_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}
SEC("struct_ops/d9_on")
void BPF_PROG(d9_on, s32 cpu) { __sync_fetch_and_add(&cpus, 1); }
SEC("struct_ops/d9_off")
void BPF_PROG(d9_off, s32 cpu) { __sync_fetch_and_add(&cpus, -1); }
SEC("struct_ops/d9_exit")
void BPF_PROG(d9_exit, struct scx_exit_info *ei) { ended = ei->exit_code; }

SEC(".struct_ops.link")
struct sched_ext_ops d9 = {
	.enqueue = (void *)d9_enqueue, .init_task = (void *)d9_init_task,
	.cpu_online = (void *)d9_on, .cpu_offline = (void *)d9_off,
	.exit = (void *)d9_exit, .timeout_ms = 5000, .name = "d9",
};
