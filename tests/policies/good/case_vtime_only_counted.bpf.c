// SPDX-License-Identifier: GPL-2.0-only
/* a statistic that copies a task's vtime in .dispatch; no queue is ordered by vtime, so it is nobody's clock (F18). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";
s64 ended;
u64 cpus, last_seen;

SEC("struct_ops/d7_running")
void BPF_PROG(d7_running, struct task_struct *p) { last_seen = p->scx.dsq_vtime; }
SEC("struct_ops/d7_on")
void BPF_PROG(d7_on, s32 cpu) { __sync_fetch_and_add(&cpus, 1); }
SEC("struct_ops/d7_off")
void BPF_PROG(d7_off, s32 cpu) { __sync_fetch_and_add(&cpus, -1); }
SEC("struct_ops/d7_exit")
void BPF_PROG(d7_exit, struct scx_exit_info *ei) { ended = ei->exit_code; }

SEC(".struct_ops.link")
struct sched_ext_ops d7 = {
	.running = (void *)d7_running, .cpu_online = (void *)d7_on, .cpu_offline = (void *)d7_off,
	.exit = (void *)d7_exit, .timeout_ms = 5000, .name = "d7",
};
