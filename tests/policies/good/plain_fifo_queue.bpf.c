// SPDX-License-Identifier: GPL-2.0-only
/* First come first served in a queue of its own, over plain kfuncs. */
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

SEC("struct_ops/plain_queue_select_cpu")
s32 BPF_PROG(plain_queue_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_for(scx_bpf_dsq_nr_queued(QUEUE)), 0);
	return cpu;
}

SEC("struct_ops/plain_queue_enqueue")
void BPF_PROG(plain_queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, slice_for(scx_bpf_dsq_nr_queued(QUEUE)), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/plain_queue_dispatch")
void BPF_PROG(plain_queue_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/plain_queue_cpu_online")
void BPF_PROG(plain_queue_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/plain_queue_cpu_offline")
void BPF_PROG(plain_queue_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/plain_queue_init")
s32 BPF_PROG(plain_queue_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/plain_queue_exit")
void BPF_PROG(plain_queue_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_queue_ops = {
	.select_cpu = (void *)plain_queue_select_cpu,
	.enqueue = (void *)plain_queue_enqueue,
	.dispatch = (void *)plain_queue_dispatch,
	.cpu_online = (void *)plain_queue_cpu_online,
	.cpu_offline = (void *)plain_queue_cpu_offline,
	.init = (void *)plain_queue_init,
	.exit = (void *)plain_queue_exit,
	.timeout_ms = 5000,
	.name = "plain_queue",
};
