// SPDX-License-Identifier: GPL-2.0-only
/* an #include in a branch that the preprocessor never takes (upstream: #ifdef LSP, for editors). */
#ifdef LSP
#include "../../../../include/scx/common.bpf.h"
#endif
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";
s64 ended;
u64 cpus;

SEC("struct_ops/d12_on")
void BPF_PROG(d12_on, s32 cpu) { __sync_fetch_and_add(&cpus, 1); }
SEC("struct_ops/d12_off")
void BPF_PROG(d12_off, s32 cpu) { __sync_fetch_and_add(&cpus, -1); }
SEC("struct_ops/d12_exit")
void BPF_PROG(d12_exit, struct scx_exit_info *ei) { ended = ei->exit_code; }

SEC(".struct_ops.link")
struct sched_ext_ops d12 = {
	.cpu_online = (void *)d12_on, .cpu_offline = (void *)d12_off,
	.exit = (void *)d12_exit, .timeout_ms = 5000, .name = "d12",
};
