// fails: survive: runnable task stall
// bug: F01
// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps the ids of low-weight tasks in a queue of its own, which dispatch empties only when a switch in a map says so.
 * Nobody ever turns the switch.
 */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f01_kept_dsq {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, s32);
} kept SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} switches SEC(".maps");

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f01_kept)

s32 SX_OP(f01_kept_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f01_kept_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (p->scx.weight >= 50 || bpf_map_push_elem(&kept, &pid, 0))
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f01_kept_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0, *on = bpf_map_lookup_elem(&switches, &key);
	struct task_struct *p;
	s32 pid;

	if (on && *on && !bpf_map_pop_elem(&kept, &pid)) {
		p = bpf_task_from_pid(pid);
		if (p) {
			sx_insert(p, QUEUE, SCX_SLICE_DFL, 0);
			bpf_task_release(p);
		}
	}
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f01_kept_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f01_kept_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f01_kept,
       .select_cpu = (void *)f01_kept_select_cpu,
       .enqueue = (void *)f01_kept_enqueue,
       .dispatch = (void *)f01_kept_dispatch,
       .cpu_online = (void *)f01_kept_cpu_online,
       .cpu_offline = (void *)f01_kept_cpu_offline,
       .init = (void *)f01_kept_init,
       .exit = (void *)f01_kept_exit,
       .timeout_ms = 5000);
