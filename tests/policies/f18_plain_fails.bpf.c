// suspected: source: goes back
// bug: F18
// ends: not seen: a bound on credit keeps shares nearly even
// or: survive: made no progress | runnable task stall | fair share
// either: how far the clock goes back hangs on who stops last; mostly the bound on credit keeps it small, and at times one starves
// SPDX-License-Identifier: GPL-2.0-only
/* The clock follows whoever stops, forwards and back. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

struct task_ctx {
	u64 ran_until;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 vtime_now;

static bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops.s/f18_plain_init_task")
s32 BPF_PROG(f18_plain_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}

SEC("struct_ops/f18_plain_enable")
void BPF_PROG(f18_plain_enable, struct task_struct *p)
{
	scx_bpf_task_set_dsq_vtime(p, vtime_now);
}

SEC("struct_ops/f18_plain_select_cpu")
s32 BPF_PROG(f18_plain_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/f18_plain_enqueue")
void BPF_PROG(f18_plain_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	s32 cpu;

	if (before(vtime, vtime_now - SCX_SLICE_DFL))
		vtime = vtime_now - SCX_SLICE_DFL;
	scx_bpf_dsq_insert_vtime(p, QUEUE, SCX_SLICE_DFL, vtime, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/f18_plain_dispatch")
void BPF_PROG(f18_plain_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops/f18_plain_running")
void BPF_PROG(f18_plain_running, struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		tc->ran_until = p->se.sum_exec_runtime;
}

SEC("struct_ops/f18_plain_stopping")
void BPF_PROG(f18_plain_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	u64 vtime = p->scx.dsq_vtime;

	if (!tc)
		return;
	vtime += (p->se.sum_exec_runtime - tc->ran_until) * 100 / p->scx.weight;
	scx_bpf_task_set_dsq_vtime(p, vtime);
	vtime_now = vtime;
}

SEC("struct_ops.s/f18_plain_cpu_online")
void BPF_PROG(f18_plain_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/f18_plain_cpu_offline")
void BPF_PROG(f18_plain_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/f18_plain_init")
s32 BPF_PROG(f18_plain_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/f18_plain_exit")
void BPF_PROG(f18_plain_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops f18_plain_ops = {
	.init_task = (void *)f18_plain_init_task,
	.enable = (void *)f18_plain_enable,
	.select_cpu = (void *)f18_plain_select_cpu,
	.enqueue = (void *)f18_plain_enqueue,
	.dispatch = (void *)f18_plain_dispatch,
	.running = (void *)f18_plain_running,
	.stopping = (void *)f18_plain_stopping,
	.cpu_online = (void *)f18_plain_cpu_online,
	.cpu_offline = (void *)f18_plain_cpu_offline,
	.init = (void *)f18_plain_init,
	.exit = (void *)f18_plain_exit,
	.timeout_ms = 5000,
	.name = "f18_plain",
};
