// SPDX-License-Identifier: GPL-2.0-only
/* The same in 32 bits, where the enumerator fits, and in a section of its own: the loader goes by the name alone. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile u32 __SCX_SLICE_DFL __attribute__((weak));
const volatile u64 __SCX_DSQ_GLOBAL SEC(".rodata.queue");

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/mirror_narrow_enqueue")
void BPF_PROG(mirror_narrow_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, __SCX_DSQ_GLOBAL, __SCX_SLICE_DFL, enq_flags);
}

SEC("struct_ops.s/mirror_narrow_cpu_online")
void BPF_PROG(mirror_narrow_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/mirror_narrow_cpu_offline")
void BPF_PROG(mirror_narrow_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/mirror_narrow_exit")
void BPF_PROG(mirror_narrow_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops mirror_narrow_ops = {
	.enqueue = (void *)mirror_narrow_enqueue,
	.cpu_online = (void *)mirror_narrow_cpu_online,
	.cpu_offline = (void *)mirror_narrow_cpu_offline,
	.exit = (void *)mirror_narrow_exit,
	.timeout_ms = 5000,
	.name = "mirror_narrow",
};
