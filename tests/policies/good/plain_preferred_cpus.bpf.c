// SPDX-License-Identifier: GPL-2.0-only
/* Prefers some CPUs: an idle one of those goes first, then any that the task may use. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

/* Slices get shorter as the queue grows, so that a round ends long before the watchdog's limit. */
static u64 slice_for(s32 waiting)
{
	u64 ns = waiting > 0 ? 1000000000ULL / waiting : SCX_SLICE_DFL;

	return ns < 1000000 ? 1000000 : ns > SCX_SLICE_DFL ? SCX_SLICE_DFL : ns;
}

private(PREFERRED) struct bpf_cpumask __kptr *preferred;

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/preferred_select_cpu")
s32 BPF_PROG(preferred_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct scx_bpf_select_cpu_and_args args = { .prev_cpu = prev_cpu, .wake_flags = wake_flags };
	struct bpf_cpumask *mask;
	bool is_idle = false;
	s32 cpu = -1;

	bpf_rcu_read_lock();
	mask = preferred;
	if (mask)
		cpu = __scx_bpf_select_cpu_and(p, (const struct cpumask *)mask, &args);
	bpf_rcu_read_unlock();
	if (cpu < 0)
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	else
		is_idle = true;
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/preferred_enqueue")
void BPF_PROG(preferred_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, slice_for(scx_bpf_dsq_nr_queued(QUEUE)), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/preferred_dispatch")
void BPF_PROG(preferred_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/preferred_cpu_online")
void BPF_PROG(preferred_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/preferred_cpu_offline")
void BPF_PROG(preferred_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/preferred_init")
s32 BPF_PROG(preferred_init)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();
	s32 cpu;

	if (!mask)
		return -12;
	bpf_for(cpu, 0, (s32)scx_bpf_nr_cpu_ids())
		if (cpu % 2 == 0)
			bpf_cpumask_set_cpu(cpu, mask);
	mask = bpf_kptr_xchg(&preferred, mask);
	if (mask)
		bpf_cpumask_release(mask);
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/preferred_exit")
void BPF_PROG(preferred_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops preferred_ops = {
	.select_cpu = (void *)preferred_select_cpu,
	.enqueue = (void *)preferred_enqueue,
	.dispatch = (void *)preferred_dispatch,
	.cpu_online = (void *)preferred_cpu_online,
	.cpu_offline = (void *)preferred_cpu_offline,
	.init = (void *)preferred_init,
	.exit = (void *)preferred_exit,
	.timeout_ms = 5000,
	.name = "preferred",
};
