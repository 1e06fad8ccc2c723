// SPDX-License-Identifier: GPL-2.0-only
/* The smallest that is right: the kernel chooses CPUs and empties the global queue by itself. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/plain_global_enqueue")
void BPF_PROG(plain_global_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 3000000, enq_flags);
}

SEC("struct_ops.s/plain_global_cpu_online")
void BPF_PROG(plain_global_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/plain_global_cpu_offline")
void BPF_PROG(plain_global_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/plain_global_exit")
void BPF_PROG(plain_global_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_global_ops = {
	.enqueue = (void *)plain_global_enqueue,
	.cpu_online = (void *)plain_global_cpu_online,
	.cpu_offline = (void *)plain_global_cpu_offline,
	.exit = (void *)plain_global_exit,
	.timeout_ms = 5000,
	.name = "plain_global",
};
