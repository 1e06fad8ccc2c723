// fails: object: negative
// bug: F11
// SPDX-License-Identifier: GPL-2.0-only
/* Goes through the CPUs itself, and gives its initial -1 back when none was idle. */
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

SEC("struct_ops/f11_loop_select_cpu")
s32 BPF_PROG(f11_loop_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 found = -1, cpu;

	bpf_for(cpu, 0, 8)
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && scx_bpf_test_and_clear_cpu_idle(cpu)) {
			found = cpu;
			break;
		}
	if (found >= 0)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return found;
}

SEC("struct_ops/f11_loop_enqueue")
void BPF_PROG(f11_loop_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/f11_loop_dispatch")
void BPF_PROG(f11_loop_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/f11_loop_cpu_online")
void BPF_PROG(f11_loop_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f11_loop_cpu_offline")
void BPF_PROG(f11_loop_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f11_loop_init")
s32 BPF_PROG(f11_loop_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/f11_loop_exit")
void BPF_PROG(f11_loop_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops f11_loop_ops = {
	.select_cpu = (void *)f11_loop_select_cpu,
	.enqueue = (void *)f11_loop_enqueue,
	.dispatch = (void *)f11_loop_dispatch,
	.cpu_online = (void *)f11_loop_cpu_online,
	.cpu_offline = (void *)f11_loop_cpu_offline,
	.init = (void *)f11_loop_init,
	.exit = (void *)f11_loop_exit,
	.timeout_ms = 5000,
	.name = "f11_loop",
};
