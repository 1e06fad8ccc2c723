// SPDX-License-Identifier: GPL-2.0-only
/* A queue of its own; the flag that wakes an idle CPU and the slice are filled by the loader, the latter divided. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile u64 __SCX_SLICE_DFL __attribute__((weak));
const volatile u64 __SCX_KICK_IDLE __attribute__((weak));

enum {
	QUEUE = 7,
};

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/mirror_own_queue_enqueue")
void BPF_PROG(mirror_own_queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, __SCX_SLICE_DFL / 4, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, __SCX_KICK_IDLE);
}

SEC("struct_ops/mirror_own_queue_dispatch")
void BPF_PROG(mirror_own_queue_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/mirror_own_queue_init")
s32 BPF_PROG(mirror_own_queue_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/mirror_own_queue_cpu_online")
void BPF_PROG(mirror_own_queue_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/mirror_own_queue_cpu_offline")
void BPF_PROG(mirror_own_queue_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/mirror_own_queue_exit")
void BPF_PROG(mirror_own_queue_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops mirror_own_queue_ops = {
	.enqueue = (void *)mirror_own_queue_enqueue,
	.dispatch = (void *)mirror_own_queue_dispatch,
	.init = (void *)mirror_own_queue_init,
	.cpu_online = (void *)mirror_own_queue_cpu_online,
	.cpu_offline = (void *)mirror_own_queue_cpu_offline,
	.exit = (void *)mirror_own_queue_exit,
	.timeout_ms = 5000,
	.name = "mirror_own_queue",
};
