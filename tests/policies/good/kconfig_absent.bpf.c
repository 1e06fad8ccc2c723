// SPDX-License-Identifier: GPL-2.0-only
/* A string, and an option that no kernel has: weak, so it is 0, and the slice does not hang on it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

extern bool CONFIG_SCHEDCP_IS_NOT_THERE __kconfig __weak;
extern const char CONFIG_LOCALVERSION[64] __kconfig __weak;

char first;

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/kconfig_absent_enqueue")
void BPF_PROG(kconfig_absent_enqueue, struct task_struct *p, u64 enq_flags)
{
	first = CONFIG_LOCALVERSION[0];
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, CONFIG_SCHEDCP_IS_NOT_THERE ? 0 : 3000000, enq_flags);
}

SEC("struct_ops.s/kconfig_absent_cpu_online")
void BPF_PROG(kconfig_absent_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/kconfig_absent_cpu_offline")
void BPF_PROG(kconfig_absent_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/kconfig_absent_exit")
void BPF_PROG(kconfig_absent_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops kconfig_absent_ops = {
	.enqueue = (void *)kconfig_absent_enqueue,
	.cpu_online = (void *)kconfig_absent_cpu_online,
	.cpu_offline = (void *)kconfig_absent_cpu_offline,
	.exit = (void *)kconfig_absent_exit,
	.timeout_ms = 5000,
	.name = "kconfig_absent",
};
