// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting tasks are numbers in a BPF queue, which dispatch empties into a shared queue, as many as there is room for.
 * When the BPF queue is full, a task goes to the shared queue at once.
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

SEC("struct_ops/pid_queue_select_cpu")
s32 BPF_PROG(pid_queue_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/pid_queue_enqueue")
void BPF_PROG(pid_queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, cpu;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		scx_bpf_dsq_insert(p, SHARED, 3000000, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/pid_queue_dispatch")
void BPF_PROG(pid_queue_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for(i, 0, 16) {
		if (!scx_bpf_dispatch_nr_slots() || bpf_map_pop_elem(&waiting, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p) /* gone: it left the queue when it was killed or moved */
			continue;
		scx_bpf_dsq_insert(p, SHARED, 3000000, 0);
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(SHARED);
}

SEC("struct_ops.s/pid_queue_cpu_online")
void BPF_PROG(pid_queue_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/pid_queue_cpu_offline")
void BPF_PROG(pid_queue_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/pid_queue_init")
s32 BPF_PROG(pid_queue_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

SEC("struct_ops.s/pid_queue_exit")
void BPF_PROG(pid_queue_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops pid_queue_ops = {
	.select_cpu = (void *)pid_queue_select_cpu,
	.enqueue = (void *)pid_queue_enqueue,
	.dispatch = (void *)pid_queue_dispatch,
	.cpu_online = (void *)pid_queue_cpu_online,
	.cpu_offline = (void *)pid_queue_cpu_offline,
	.init = (void *)pid_queue_init,
	.exit = (void *)pid_queue_exit,
	.timeout_ms = 5000,
	.name = "pid_queue",
};
