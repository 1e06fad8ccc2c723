// fails: object: twice
// bug: F07
// SPDX-License-Identifier: GPL-2.0-only
/* select_cpu gives its task to an idle CPU, and a subprogram gives it away once more. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

static __noinline int remember(struct task_struct *p, bool is_idle)
{
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return is_idle;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/f07_select_select_cpu")
s32 BPF_PROG(f07_select_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	remember(p, is_idle);
	return cpu;
}

SEC("struct_ops/f07_select_enqueue")
void BPF_PROG(f07_select_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/f07_select_dispatch")
void BPF_PROG(f07_select_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/f07_select_cpu_online")
void BPF_PROG(f07_select_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f07_select_cpu_offline")
void BPF_PROG(f07_select_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f07_select_init")
s32 BPF_PROG(f07_select_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/f07_select_exit")
void BPF_PROG(f07_select_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops f07_select_ops = {
	.select_cpu = (void *)f07_select_select_cpu,
	.enqueue = (void *)f07_select_enqueue,
	.dispatch = (void *)f07_select_dispatch,
	.cpu_online = (void *)f07_select_cpu_online,
	.cpu_offline = (void *)f07_select_cpu_offline,
	.init = (void *)f07_select_init,
	.exit = (void *)f07_select_exit,
	.timeout_ms = 5000,
	.name = "f07_select",
};
