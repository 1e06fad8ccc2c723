// SPDX-License-Identifier: GPL-2.0-only
/* Counts on the CPU at hand what need not be exact, and keeps how it ended in a map. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

/* Slices get shorter as the queue grows, so that a round ends long before the watchdog's limit. */
static u64 slice_for(s32 waiting)
{
	u64 ns = waiting > 0 ? 1000000000ULL / waiting : SCX_SLICE_DFL;

	return ns < 1000000 ? 1000000 : ns > SCX_SLICE_DFL ? SCX_SLICE_DFL : ns;
}

enum counted {
	STAT_LOCAL,
	STAT_QUEUED,
	STAT_RAN,
	STAT_YIELDED,
	COUNTED,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTED);
	__type(key, u32);
	__type(value, u64);
} stats SEC(".maps");

static u64 turns_of_cpu[64];

struct ending {
	s32 kind;
	s64 code;
	char reason[128];
	char msg[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ending);
} endings SEC(".maps");

static void count(u32 stat)
{
	u64 *counter = bpf_map_lookup_elem(&stats, &stat);

	if (counter)
		(*counter)++;
}

static s32 nr_online;

SEC("struct_ops/stats_select_cpu")
s32 BPF_PROG(stats_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0) {
		count(STAT_LOCAL);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	}
	return cpu >= 0 ? cpu : prev_cpu;
}

SEC("struct_ops/stats_enqueue")
void BPF_PROG(stats_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu, idle;

	count(STAT_QUEUED);
	scx_bpf_dsq_insert(p, QUEUE, slice_for(scx_bpf_dsq_nr_queued(QUEUE)), enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	cpu = idle >= 0 ? idle : scx_bpf_task_cpu(p);
	scx_bpf_kick_cpu(cpu, idle >= 0 ? SCX_KICK_IDLE : 0);
}

SEC("struct_ops/stats_dispatch")
void BPF_PROG(stats_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops/stats_running")
void BPF_PROG(stats_running, struct task_struct *p)
{
	count(STAT_RAN);
	turns_of_cpu[scx_bpf_task_cpu(p) & 63]++;
}

SEC("struct_ops/stats_yield")
bool BPF_PROG(stats_yield, struct task_struct *from, struct task_struct *to)
{
	count(STAT_YIELDED);
	if (!to)
		from->scx.slice = 0;
	return false;
}

SEC("struct_ops.s/stats_cpu_online")
void BPF_PROG(stats_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/stats_cpu_offline")
void BPF_PROG(stats_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/stats_init")
s32 BPF_PROG(stats_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC("struct_ops.s/stats_exit")
void BPF_PROG(stats_exit, struct scx_exit_info *ei)
{
	u32 key = 0;
	struct ending *ending = bpf_map_lookup_elem(&endings, &key);

	if (!ending)
		return;
	bpf_probe_read_kernel_str(ending->reason, sizeof(ending->reason), ei->reason);
	bpf_probe_read_kernel_str(ending->msg, sizeof(ending->msg), ei->msg);
	ending->code = ei->exit_code;
	ending->kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops stats_ops = {
	.select_cpu = (void *)stats_select_cpu,
	.enqueue = (void *)stats_enqueue,
	.dispatch = (void *)stats_dispatch,
	.running = (void *)stats_running,
	.yield = (void *)stats_yield,
	.cpu_online = (void *)stats_cpu_online,
	.cpu_offline = (void *)stats_cpu_offline,
	.init = (void *)stats_init,
	.exit = (void *)stats_exit,
	.timeout_ms = 5000,
	.name = "stats",
};
