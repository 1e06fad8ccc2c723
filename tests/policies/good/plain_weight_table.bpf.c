// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fair by weight with a table instead of a division. A task's vtime starts in init_task and is put right whenever it
 * becomes runnable; the clock moves on in dispatch, to where the queue's first stands.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

struct task_ctx {
	u64 vtime;
	u64 ran_until;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

/* 2^16 * 100 / weight, for weights of 2^n and above. */
static const u32 inverse[] = { 6553600, 3276800, 1638400, 819200, 409600, 204800, 102400, 51200, 25600, 12800, 6400, 3200, 1600, 800 };
static u64 vtime_now;

#define LAG 20000000ULL
#define LEAD 50000000ULL

static __noinline u64 scaled(u64 used, u32 weight)
{
	u32 power = 0;
	s32 i;

	bpf_for(i, 0, 13)
		if (weight >> (i + 1))
			power = i + 1;
	return used * inverse[power < 14 ? power : 13] >> 16;
}

static u64 max_vtime(u64 a, u64 b)
{
	return (s64)(a - b) > 0 ? a : b;
}

static u64 min_vtime(u64 a, u64 b)
{
	return (s64)(a - b) < 0 ? a : b;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops.s/weight_table_init_task")
s32 BPF_PROG(weight_table_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -12;
	tc->vtime = vtime_now;
	return 0;
}

SEC("struct_ops/weight_table_runnable")
void BPF_PROG(weight_table_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		tc->vtime = min_vtime(max_vtime(tc->vtime, vtime_now - LAG), vtime_now + LEAD);
}

SEC("struct_ops/weight_table_select_cpu")
s32 BPF_PROG(weight_table_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/weight_table_enqueue")
void BPF_PROG(weight_table_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	u64 vtime = tc ? min_vtime(max_vtime(tc->vtime, vtime_now - LAG), vtime_now + LEAD) : vtime_now;
	s32 cpu;

	scx_bpf_dsq_insert_vtime(p, QUEUE, 3000000, vtime, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/weight_table_dispatch")
void BPF_PROG(weight_table_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *first = scx_bpf_dsq_peek(QUEUE);

	if (first)
		vtime_now = max_vtime(vtime_now, first->scx.dsq_vtime);
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops/weight_table_running")
void BPF_PROG(weight_table_running, struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		tc->ran_until = p->se.sum_exec_runtime;
}

SEC("struct_ops/weight_table_stopping")
void BPF_PROG(weight_table_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		tc->vtime += scaled(p->se.sum_exec_runtime - tc->ran_until, p->scx.weight);
}

SEC("struct_ops.s/weight_table_cpu_online")
void BPF_PROG(weight_table_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/weight_table_cpu_offline")
void BPF_PROG(weight_table_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/weight_table_init")
s32 BPF_PROG(weight_table_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/weight_table_exit")
void BPF_PROG(weight_table_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops weight_table_ops = {
	.init_task = (void *)weight_table_init_task,
	.runnable = (void *)weight_table_runnable,
	.select_cpu = (void *)weight_table_select_cpu,
	.enqueue = (void *)weight_table_enqueue,
	.dispatch = (void *)weight_table_dispatch,
	.running = (void *)weight_table_running,
	.stopping = (void *)weight_table_stopping,
	.cpu_online = (void *)weight_table_cpu_online,
	.cpu_offline = (void *)weight_table_cpu_offline,
	.init = (void *)weight_table_init,
	.exit = (void *)weight_table_exit,
	.timeout_ms = 5000,
	.name = "weight_table",
};
