// SPDX-License-Identifier: GPL-2.0-only
/* select_cpu returns an errno only after scx_bpf_error() has already ended the policy: no second bug (F11). */
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
} ctxs SEC(".maps");
s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle) __ksym;
void scx_bpf_error_bstr(char *fmt, unsigned long long *data, u32 data__sz) __ksym;

SEC("struct_ops/d5_select_cpu")
s32 BPF_PROG(d5_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	static char fmt[] = "no storage";
	unsigned long long none = 0;
	bool idle = false;
	struct seen *mine = bpf_task_storage_get(&ctxs, p, 0, 0);

	if (!mine) {
		scx_bpf_error_bstr(fmt, &none, sizeof(none));
		return -3;
	}
	mine->times++;
	return scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
}
SEC("struct_ops/d5_init_task")
s32 BPF_PROG(d5_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}
SEC("struct_ops/d5_on")
void BPF_PROG(d5_on, s32 cpu) { __sync_fetch_and_add(&cpus, 1); }
SEC("struct_ops/d5_off")
void BPF_PROG(d5_off, s32 cpu) { __sync_fetch_and_add(&cpus, -1); }
SEC("struct_ops/d5_exit")
void BPF_PROG(d5_exit, struct scx_exit_info *ei) { ended = ei->exit_code; }

SEC(".struct_ops.link")
struct sched_ext_ops d5 = {
	.select_cpu = (void *)d5_select_cpu, .init_task = (void *)d5_init_task,
	.cpu_online = (void *)d5_on, .cpu_offline = (void *)d5_off,
	.exit = (void *)d5_exit, .timeout_ms = 5000, .name = "d5",
};
