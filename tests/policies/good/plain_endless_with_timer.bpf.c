// SPDX-License-Identifier: GPL-2.0-only
/* Slices without end, no work in the tick: a timer looks every few milliseconds and ends turns while anybody waits. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0

#define CLOCK_MONOTONIC 1
#define PERIOD_NS 5000000

struct preempt_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct preempt_timer);
} timers SEC(".maps");

static int on_timer(void *map, u32 *key, struct bpf_timer *timer)
{
	s32 cpu;

	if (scx_bpf_dsq_nr_queued(QUEUE) > 0)
		bpf_for(cpu, 0, (s32)scx_bpf_nr_cpu_ids())
			scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	bpf_timer_start(timer, PERIOD_NS, 0);
	return 0;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/timer_select_cpu")
s32 BPF_PROG(timer_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_INF, 0);
	return cpu;
}

SEC("struct_ops/timer_enqueue")
void BPF_PROG(timer_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_INF, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/timer_dispatch")
void BPF_PROG(timer_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("struct_ops.s/timer_cpu_online")
void BPF_PROG(timer_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/timer_cpu_offline")
void BPF_PROG(timer_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/timer_init")
s32 BPF_PROG(timer_init)
{
	u32 key = 0;
	struct bpf_timer *timer = bpf_map_lookup_elem(&timers, &key);
	s32 err;

	if (!timer)
		return -2;
	err = scx_bpf_create_dsq(QUEUE, -1);
	if (err)
		return err;
	bpf_timer_init(timer, &timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(timer, on_timer);
	return bpf_timer_start(timer, PERIOD_NS, 0);
}

SEC("struct_ops.s/timer_exit")
void BPF_PROG(timer_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops timer_ops = {
	.select_cpu = (void *)timer_select_cpu,
	.enqueue = (void *)timer_enqueue,
	.dispatch = (void *)timer_dispatch,
	.cpu_online = (void *)timer_cpu_online,
	.cpu_offline = (void *)timer_cpu_offline,
	.init = (void *)timer_init,
	.exit = (void *)timer_exit,
	.timeout_ms = 5000,
	.name = "timer",
};
