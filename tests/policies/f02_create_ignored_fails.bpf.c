// suspected: source: scx_bpf_create_dsq
// bug: F02
// ends: not tried: create_dsq fails only where memory is short, which no guest is
// SPDX-License-Identifier: GPL-2.0-only
/* Whether the queue could be made is not asked: without it the first enqueue ends the policy. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/f02_ignored_select_cpu")
s32 BPF_PROG(f02_ignored_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/f02_ignored_enqueue")
void BPF_PROG(f02_ignored_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/f02_ignored_dispatch")
void BPF_PROG(f02_ignored_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/f02_ignored_cpu_online")
void BPF_PROG(f02_ignored_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f02_ignored_cpu_offline")
void BPF_PROG(f02_ignored_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f02_ignored_init")
s32 BPF_PROG(f02_ignored_init)
{
	scx_bpf_create_dsq(QUEUE, -1);
	return 0;
}

SEC("struct_ops.s/f02_ignored_exit")
void BPF_PROG(f02_ignored_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops f02_ignored_ops = {
	.select_cpu = (void *)f02_ignored_select_cpu,
	.enqueue = (void *)f02_ignored_enqueue,
	.dispatch = (void *)f02_ignored_dispatch,
	.cpu_online = (void *)f02_ignored_cpu_online,
	.cpu_offline = (void *)f02_ignored_cpu_offline,
	.init = (void *)f02_ignored_init,
	.exit = (void *)f02_ignored_exit,
	.timeout_ms = 5000,
	.name = "f02_ignored",
};
