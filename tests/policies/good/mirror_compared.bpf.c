// SPDX-License-Identifier: GPL-2.0-only
/* A flag that is tested with a mirrored constant: were it 0, every task would take the other branch. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile u64 __SCX_ENQ_WAKEUP __attribute__((weak));
const volatile u64 __SCX_DSQ_GLOBAL __attribute__((weak));

u64 woken;

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/mirror_compared_enqueue")
void BPF_PROG(mirror_compared_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & __SCX_ENQ_WAKEUP)
		__sync_fetch_and_add(&woken, 1);
	scx_bpf_dsq_insert(p, __SCX_DSQ_GLOBAL, 3000000, enq_flags);
}

SEC("struct_ops.s/mirror_compared_cpu_online")
void BPF_PROG(mirror_compared_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/mirror_compared_cpu_offline")
void BPF_PROG(mirror_compared_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/mirror_compared_exit")
void BPF_PROG(mirror_compared_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops mirror_compared_ops = {
	.enqueue = (void *)mirror_compared_enqueue,
	.cpu_online = (void *)mirror_compared_cpu_online,
	.cpu_offline = (void *)mirror_compared_cpu_offline,
	.exit = (void *)mirror_compared_exit,
	.timeout_ms = 5000,
	.name = "mirror_compared",
};
