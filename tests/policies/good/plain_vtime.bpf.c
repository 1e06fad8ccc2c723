// SPDX-License-Identifier: GPL-2.0-only
/* Fair by weight, over plain kfuncs: credit and debt are both limited, charged by the kernel's own count. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

struct task_ctx {
	u64 ran_until; /* CPU time when it last started to run */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 vtime_now;

#define LAG 20000000ULL
#define LEAD 50000000ULL

static inline bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static void charge(struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	u64 used;

	if (!tc)
		return;
	used = p->se.sum_exec_runtime - tc->ran_until;
	tc->ran_until = p->se.sum_exec_runtime;
	scx_bpf_task_set_dsq_vtime(p, p->scx.dsq_vtime + used * 100 / p->scx.weight);
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops.s/plain_vtime_init_task")
s32 BPF_PROG(plain_vtime_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (!bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -12;
	return 0;
}

SEC("struct_ops/plain_vtime_enable")
void BPF_PROG(plain_vtime_enable, struct task_struct *p)
{
	scx_bpf_task_set_dsq_vtime(p, vtime_now);
}

SEC("struct_ops/plain_vtime_select_cpu")
s32 BPF_PROG(plain_vtime_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/plain_vtime_enqueue")
void BPF_PROG(plain_vtime_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	s32 cpu;

	if (before(vtime, vtime_now - LAG))
		vtime = vtime_now - LAG;
	if (before(vtime_now + LEAD, vtime))
		vtime = vtime_now + LEAD;
	scx_bpf_dsq_insert_vtime(p, QUEUE, 3000000, vtime, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/plain_vtime_dispatch")
void BPF_PROG(plain_vtime_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *first = scx_bpf_dsq_peek(QUEUE);

	if (prev && (prev->scx.flags & SCX_TASK_QUEUED)) {
		charge(prev);
		if (!first || before(prev->scx.dsq_vtime, first->scx.dsq_vtime)) {
			scx_bpf_task_set_slice(prev, 3000000);
			return;
		}
	}
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops/plain_vtime_running")
void BPF_PROG(plain_vtime_running, struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		tc->ran_until = p->se.sum_exec_runtime;
	if (before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

SEC("struct_ops/plain_vtime_stopping")
void BPF_PROG(plain_vtime_stopping, struct task_struct *p, bool runnable)
{
	charge(p);
}

SEC("struct_ops.s/plain_vtime_cpu_online")
void BPF_PROG(plain_vtime_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/plain_vtime_cpu_offline")
void BPF_PROG(plain_vtime_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/plain_vtime_init")
s32 BPF_PROG(plain_vtime_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/plain_vtime_exit")
void BPF_PROG(plain_vtime_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_vtime_ops = {
	.init_task = (void *)plain_vtime_init_task,
	.enable = (void *)plain_vtime_enable,
	.select_cpu = (void *)plain_vtime_select_cpu,
	.enqueue = (void *)plain_vtime_enqueue,
	.dispatch = (void *)plain_vtime_dispatch,
	.running = (void *)plain_vtime_running,
	.stopping = (void *)plain_vtime_stopping,
	.cpu_online = (void *)plain_vtime_cpu_online,
	.cpu_offline = (void *)plain_vtime_cpu_offline,
	.init = (void *)plain_vtime_init,
	.exit = (void *)plain_vtime_exit,
	.timeout_ms = 5000,
	.name = "plain_vtime",
};
