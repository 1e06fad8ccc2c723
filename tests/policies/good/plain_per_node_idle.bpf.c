// SPDX-License-Identifier: GPL-2.0-only
/* Idle CPUs are tracked per node, and asked for by node: the task's own first, then any. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

/* Slices get shorter as the queue grows, so that a round ends long before the watchdog's limit. */
static u64 slice_for(s32 waiting)
{
	u64 ns = waiting > 0 ? 1000000000ULL / waiting : SCX_SLICE_DFL;

	return ns < 1000000 ? 1000000 : ns > SCX_SLICE_DFL ? SCX_SLICE_DFL : ns;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/per_node_select_cpu")
s32 BPF_PROG(per_node_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct scx_bpf_select_cpu_and_args args = {
		.prev_cpu = prev_cpu,
		.wake_flags = wake_flags,
	};
	s32 cpu = __scx_bpf_select_cpu_and(p, p->cpus_ptr, &args);

	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/per_node_enqueue")
void BPF_PROG(per_node_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 node = scx_bpf_cpu_node(scx_bpf_task_cpu(p)), cpu;

	scx_bpf_dsq_insert(p, QUEUE, slice_for(scx_bpf_dsq_nr_queued(QUEUE)), enq_flags);
	cpu = scx_bpf_pick_idle_cpu_node(p->cpus_ptr, node, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/per_node_dispatch")
void BPF_PROG(per_node_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/per_node_cpu_online")
void BPF_PROG(per_node_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/per_node_cpu_offline")
void BPF_PROG(per_node_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/per_node_init")
s32 BPF_PROG(per_node_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/per_node_exit")
void BPF_PROG(per_node_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops per_node_ops = {
	.select_cpu = (void *)per_node_select_cpu,
	.enqueue = (void *)per_node_enqueue,
	.dispatch = (void *)per_node_dispatch,
	.cpu_online = (void *)per_node_cpu_online,
	.cpu_offline = (void *)per_node_cpu_offline,
	.init = (void *)per_node_init,
	.exit = (void *)per_node_exit,
	.flags = SCX_OPS_BUILTIN_IDLE_PER_NODE,
	.timeout_ms = 5000,
	.name = "per_node",
};
