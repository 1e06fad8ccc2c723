// fails: object: negative
// bug: F11
// SPDX-License-Identifier: GPL-2.0-only
/* Kicks the CPU that was found idle, also when none was. */
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

SEC("struct_ops/f11_kick_select_cpu")
s32 BPF_PROG(f11_kick_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/f11_kick_enqueue")
void BPF_PROG(f11_kick_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(scx_bpf_pick_idle_cpu(p->cpus_ptr, 0), SCX_KICK_IDLE);
}

SEC("struct_ops/f11_kick_dispatch")
void BPF_PROG(f11_kick_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/f11_kick_cpu_online")
void BPF_PROG(f11_kick_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f11_kick_cpu_offline")
void BPF_PROG(f11_kick_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f11_kick_init")
s32 BPF_PROG(f11_kick_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/f11_kick_exit")
void BPF_PROG(f11_kick_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops f11_kick_ops = {
	.select_cpu = (void *)f11_kick_select_cpu,
	.enqueue = (void *)f11_kick_enqueue,
	.dispatch = (void *)f11_kick_dispatch,
	.cpu_online = (void *)f11_kick_cpu_online,
	.cpu_offline = (void *)f11_kick_cpu_offline,
	.init = (void *)f11_kick_init,
	.exit = (void *)f11_kick_exit,
	.timeout_ms = 5000,
	.name = "f11_kick",
};
