// SPDX-License-Identifier: GPL-2.0-only
/*
 * One BPF queue; dispatch sends each task to the CPU it last ran on. Only a task that is still in the same wait when the
 * kernel takes it is moved, so what is checked after the insert holds when it counts; if it does not, the insert is undone.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED 0

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} waiting SEC(".maps");

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/local_on_select_cpu")
s32 BPF_PROG(local_on_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/local_on_enqueue")
void BPF_PROG(local_on_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, cpu;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		scx_bpf_dsq_insert(p, SHARED, 3000000, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/local_on_dispatch")
void BPF_PROG(local_on_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i, target;

	bpf_for(i, 0, 8) {
		if (!scx_bpf_dispatch_nr_slots() || bpf_map_pop_elem(&waiting, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		target = bpf_cpumask_test_cpu(cpu, p->cpus_ptr) ? cpu : scx_bpf_task_cpu(p);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | target, 3000000, 0);
		if (!bpf_cpumask_test_cpu(target, p->cpus_ptr) || (p->migration_disabled && target != scx_bpf_task_cpu(p))) {
			scx_bpf_dispatch_cancel();
			scx_bpf_dsq_insert(p, SHARED, 3000000, 0);
			target = scx_bpf_task_cpu(p);
		}
		bpf_task_release(p);
		if (target == cpu)
			break;
		scx_bpf_kick_cpu(target, SCX_KICK_IDLE);
	}
	scx_bpf_dsq_move_to_local(SHARED);
}

SEC("struct_ops.s/local_on_cpu_online")
void BPF_PROG(local_on_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/local_on_cpu_offline")
void BPF_PROG(local_on_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/local_on_init")
s32 BPF_PROG(local_on_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

SEC("struct_ops.s/local_on_exit")
void BPF_PROG(local_on_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops local_on_ops = {
	.select_cpu = (void *)local_on_select_cpu,
	.enqueue = (void *)local_on_enqueue,
	.dispatch = (void *)local_on_dispatch,
	.cpu_online = (void *)local_on_cpu_online,
	.cpu_offline = (void *)local_on_cpu_offline,
	.init = (void *)local_on_init,
	.exit = (void *)local_on_exit,
	.timeout_ms = 5000,
	.name = "local_on",
};
