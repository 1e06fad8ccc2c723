// SPDX-License-Identifier: GPL-2.0-only
/*
 * Earliest deadline first: the heavier a task, the nearer its deadline, in real time, so nobody waits for ever.
 * The kernel's newest spelling of the insert, with its arguments in a struct.
 */
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

SEC("struct_ops/plain_deadline_select_cpu")
s32 BPF_PROG(plain_deadline_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/plain_deadline_enqueue")
void BPF_PROG(plain_deadline_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 budget_ns = 20000000ULL * 100 / p->scx.weight;
	struct scx_bpf_dsq_insert_vtime_args args = {
		.dsq_id = QUEUE,
		.slice = 3000000,
		.enq_flags = enq_flags,
	};
	s32 cpu;

	if (budget_ns > 400000000ULL)
		budget_ns = 400000000ULL;
	args.vtime = scx_bpf_now() + budget_ns;
	__scx_bpf_dsq_insert_vtime(p, &args);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/plain_deadline_dispatch")
void BPF_PROG(plain_deadline_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/plain_deadline_cpu_online")
void BPF_PROG(plain_deadline_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/plain_deadline_cpu_offline")
void BPF_PROG(plain_deadline_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/plain_deadline_init")
s32 BPF_PROG(plain_deadline_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/plain_deadline_exit")
void BPF_PROG(plain_deadline_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_deadline_ops = {
	.select_cpu = (void *)plain_deadline_select_cpu,
	.enqueue = (void *)plain_deadline_enqueue,
	.dispatch = (void *)plain_deadline_dispatch,
	.cpu_online = (void *)plain_deadline_cpu_online,
	.cpu_offline = (void *)plain_deadline_cpu_offline,
	.init = (void *)plain_deadline_init,
	.exit = (void *)plain_deadline_exit,
	.timeout_ms = 5000,
	.name = "plain_deadline",
};
