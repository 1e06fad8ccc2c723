// fails: fair: CPUs idled for
// bug: F24
// SPDX-License-Identifier: GPL-2.0-only
/* Asks to be given the last task of a CPU, and then queues it like any other: the CPU goes to sleep beside it. */
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

SEC("struct_ops/f24_last_select_cpu")
s32 BPF_PROG(f24_last_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/f24_last_enqueue")
void BPF_PROG(f24_last_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

SEC("struct_ops/f24_last_dispatch")
void BPF_PROG(f24_last_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/f24_last_cpu_online")
void BPF_PROG(f24_last_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f24_last_cpu_offline")
void BPF_PROG(f24_last_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f24_last_init")
s32 BPF_PROG(f24_last_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/f24_last_exit")
void BPF_PROG(f24_last_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops f24_last_ops = {
	.select_cpu = (void *)f24_last_select_cpu,
	.enqueue = (void *)f24_last_enqueue,
	.dispatch = (void *)f24_last_dispatch,
	.cpu_online = (void *)f24_last_cpu_online,
	.cpu_offline = (void *)f24_last_cpu_offline,
	.init = (void *)f24_last_init,
	.exit = (void *)f24_last_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 5000,
	.name = "f24_last",
};
