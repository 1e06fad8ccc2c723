// SPDX-License-Identifier: GPL-2.0-only
/*
 * A policy as others write it: vmlinux.h and libbpf's headers, none of ours. It has no exit record, and is accepted.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile __u64 slice_ns = 10000000;

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

SEC(".struct_ops.link")
struct sched_ext_ops plain_ops = {
	.select_cpu = (void *)plain_select_cpu,
	.enqueue = (void *)plain_enqueue,
	.timeout_ms = 5000,
	.name = "plain_fifo",
};
