// SPDX-License-Identifier: GPL-2.0-only
/*
 * A policy as others write it: vmlinux.h and libbpf's headers, none of ours. Its exit record has a form of its own.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile __u64 slice_ns = 10000000;

/* How it ended: others call theirs uei, and keep what they like. */
struct {
	int kind;
	__s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;
static __u32 hotplugs;

SEC("struct_ops/plain_select_cpu")
s32 BPF_PROG(plain_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

SEC("struct_ops/plain_enqueue")
void BPF_PROG(plain_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
}

SEC("struct_ops.s/plain_cpu_online")
void BPF_PROG(plain_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&hotplugs, 1);
}

SEC("struct_ops.s/plain_cpu_offline")
void BPF_PROG(plain_cpu_offline, s32 cpu)
{
	__sync_fetch_and_add(&hotplugs, 1);
}

SEC("struct_ops.s/plain_exit")
void BPF_PROG(plain_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_ops = {
	.select_cpu = (void *)plain_select_cpu,
	.enqueue = (void *)plain_enqueue,
	.cpu_online = (void *)plain_cpu_online,
	.cpu_offline = (void *)plain_cpu_offline,
	.exit = (void *)plain_exit,
	.timeout_ms = 5000,
	.name = "plain_fifo",
};
