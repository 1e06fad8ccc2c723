// SPDX-License-Identifier: GPL-2.0-only
// load: target=0x8000000000000001
/* The loader says which of the kernel's queues: 0 would be one that nobody made. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile u64 target;

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/given_queue_enqueue")
void BPF_PROG(given_queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, target, 3000000, enq_flags);
}

SEC("struct_ops.s/given_queue_cpu_online")
void BPF_PROG(given_queue_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/given_queue_cpu_offline")
void BPF_PROG(given_queue_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/given_queue_exit")
void BPF_PROG(given_queue_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops given_queue_ops = {
	.enqueue = (void *)given_queue_enqueue,
	.cpu_online = (void *)given_queue_cpu_online,
	.cpu_offline = (void *)given_queue_cpu_offline,
	.exit = (void *)given_queue_exit,
	.timeout_ms = 5000,
	.name = "given_queue",
};
