// SPDX-License-Identifier: GPL-2.0-only
/* A CPU that dispatches also looks over the first few that wait, and hands those that are bound to another CPU to it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0
#define BPF_FOR_EACH_ITER (&___it)

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

SEC("struct_ops/hand_over_select_cpu")
s32 BPF_PROG(hand_over_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/hand_over_enqueue")
void BPF_PROG(hand_over_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, slice_for(scx_bpf_dsq_nr_queued(QUEUE)), enq_flags);
	scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
	if (p->nr_cpus_allowed > 1) {
		s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

		if (cpu >= 0)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

SEC("struct_ops/hand_over_dispatch")
void BPF_PROG(hand_over_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	u32 looked_at = 0;

	bpf_for_each(scx_dsq, p, QUEUE, 0) {
		s32 home = scx_bpf_task_cpu(p);

		if (++looked_at > 8)
			break;
		/* Only where it is already: there it may run, whatever else changes. */
		if (home != cpu && p->nr_cpus_allowed == 1 && bpf_cpumask_test_cpu(home, p->cpus_ptr) &&
		    scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL_ON | home, 0))
			scx_bpf_kick_cpu(home, SCX_KICK_IDLE);
	}
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/hand_over_cpu_online")
void BPF_PROG(hand_over_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/hand_over_cpu_offline")
void BPF_PROG(hand_over_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/hand_over_init")
s32 BPF_PROG(hand_over_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/hand_over_exit")
void BPF_PROG(hand_over_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops hand_over_ops = {
	.select_cpu = (void *)hand_over_select_cpu,
	.enqueue = (void *)hand_over_enqueue,
	.dispatch = (void *)hand_over_dispatch,
	.cpu_online = (void *)hand_over_cpu_online,
	.cpu_offline = (void *)hand_over_cpu_offline,
	.init = (void *)hand_over_init,
	.exit = (void *)hand_over_exit,
	.timeout_ms = 5000,
	.name = "hand_over",
};
