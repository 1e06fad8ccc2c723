// SPDX-License-Identifier: GPL-2.0-only
/* Every decision is a subprogram of its own that is not inlined. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0
#define LOW 1

static u64 turns;

static __noinline u64 queue_for(u32 weight)
{
	return weight < 100 ? LOW : QUEUE;
}

static __noinline u64 slice_for(u64 queue)
{
	s32 waiting = scx_bpf_dsq_nr_queued(queue);

	return waiting > 100 ? 1000000 : 8000000;
}

static __noinline int wake_one_for(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	return cpu;
}

static __noinline int place(struct task_struct *p, u64 enq_flags)
{
	u64 queue = queue_for(p->scx.weight);

	scx_bpf_dsq_insert(p, queue, slice_for(queue), enq_flags);
	return wake_one_for(p);
}

static __noinline bool take(u64 first, u64 second)
{
	return scx_bpf_dsq_move_to_local(first) || scx_bpf_dsq_move_to_local(second);
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/subprograms_select_cpu")
s32 BPF_PROG(subprograms_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/subprograms_enqueue")
void BPF_PROG(subprograms_enqueue, struct task_struct *p, u64 enq_flags)
{
	place(p, enq_flags);
}

SEC("struct_ops/subprograms_dispatch")
void BPF_PROG(subprograms_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_add(&turns, 1) % 3)
		take(QUEUE, LOW);
	else
		take(LOW, QUEUE);
}

SEC("struct_ops.s/subprograms_cpu_online")
void BPF_PROG(subprograms_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/subprograms_cpu_offline")
void BPF_PROG(subprograms_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/subprograms_init")
s32 BPF_PROG(subprograms_init)
{
	s32 err = scx_bpf_create_dsq(QUEUE, -1);

	return err ? err : scx_bpf_create_dsq(LOW, -1);
}

SEC("struct_ops.s/subprograms_exit")
void BPF_PROG(subprograms_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops subprograms_ops = {
	.select_cpu = (void *)subprograms_select_cpu,
	.enqueue = (void *)subprograms_enqueue,
	.dispatch = (void *)subprograms_dispatch,
	.cpu_online = (void *)subprograms_cpu_online,
	.cpu_offline = (void *)subprograms_cpu_offline,
	.init = (void *)subprograms_init,
	.exit = (void *)subprograms_exit,
	.timeout_ms = 5000,
	.name = "subprograms",
};
