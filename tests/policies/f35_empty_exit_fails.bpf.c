// fails: object: .exit stores nothing
// bug: F35, with --require exit-record
// SPDX-License-Identifier: GPL-2.0-only
/* The exit callback is there and records nothing. */
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

SEC("struct_ops/f35_empty_select_cpu")
s32 BPF_PROG(f35_empty_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/f35_empty_enqueue")
void BPF_PROG(f35_empty_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/f35_empty_dispatch")
void BPF_PROG(f35_empty_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/f35_empty_cpu_online")
void BPF_PROG(f35_empty_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f35_empty_cpu_offline")
void BPF_PROG(f35_empty_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f35_empty_init")
s32 BPF_PROG(f35_empty_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/f35_empty_exit")
void BPF_PROG(f35_empty_exit, struct scx_exit_info *ei)
{
	if (ei->kind >= 1024)
		bpf_printk("that went wrong");
}

SEC(".struct_ops.link")
struct sched_ext_ops f35_empty_ops = {
	.select_cpu = (void *)f35_empty_select_cpu,
	.enqueue = (void *)f35_empty_enqueue,
	.dispatch = (void *)f35_empty_dispatch,
	.cpu_online = (void *)f35_empty_cpu_online,
	.cpu_offline = (void *)f35_empty_cpu_offline,
	.init = (void *)f35_empty_init,
	.exit = (void *)f35_empty_exit,
	.timeout_ms = 5000,
	.name = "f35_empty",
};
