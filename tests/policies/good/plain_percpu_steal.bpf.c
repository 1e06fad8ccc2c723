// SPDX-License-Identifier: GPL-2.0-only
/* A queue per CPU; who has nothing takes from the others, and every eighth time looks there first. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

static u32 queues;
static u64 turns;

static bool take_any(u32 from)
{
	s32 i;

	bpf_for(i, 0, (s32)queues) {
		u32 victim = (from + i) % queues;

		if (scx_bpf_dsq_nr_queued(victim) > 0 && scx_bpf_dsq_move_to_local(victim))
			return true;
	}
	return false;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/percpu_steal_select_cpu")
s32 BPF_PROG(percpu_steal_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/percpu_steal_enqueue")
void BPF_PROG(percpu_steal_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, cpu, 3000000, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/percpu_steal_dispatch")
void BPF_PROG(percpu_steal_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 turn = __sync_fetch_and_add(&turns, 1);

	take_any(turn % 8 ? cpu : cpu + 1 + turn / 8 % queues);
}

SEC("struct_ops.s/percpu_steal_cpu_online")
void BPF_PROG(percpu_steal_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/percpu_steal_cpu_offline")
void BPF_PROG(percpu_steal_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/percpu_steal_init")
s32 BPF_PROG(percpu_steal_init)
{
	s32 cpu, err;

	queues = scx_bpf_nr_cpu_ids();
	bpf_for(cpu, 0, (s32)queues) {
		err = scx_bpf_create_dsq(cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC("struct_ops.s/percpu_steal_exit")
void BPF_PROG(percpu_steal_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops percpu_steal_ops = {
	.select_cpu = (void *)percpu_steal_select_cpu,
	.enqueue = (void *)percpu_steal_enqueue,
	.dispatch = (void *)percpu_steal_dispatch,
	.cpu_online = (void *)percpu_steal_cpu_online,
	.cpu_offline = (void *)percpu_steal_cpu_offline,
	.init = (void *)percpu_steal_init,
	.exit = (void *)percpu_steal_exit,
	.timeout_ms = 5000,
	.name = "percpu_steal",
};
