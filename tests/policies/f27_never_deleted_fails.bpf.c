// suspected: object: entries are added to 'entries' for each task and never deleted
// bug: F27
// ends: not tried: its 16384 entries are more than the short tier has time to fill
// SPDX-License-Identifier: GPL-2.0-only
/* Every task gets an entry in a hash, and nobody takes it out: fork fails on the day when as many have come as it holds. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum grows_dsq {
	GROWS_QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u64);
} entries SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(grows)

s32 SX_OP(grows_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(grows_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, GROWS_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(grows_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(GROWS_QUEUE);
}

s32 SX_OP(grows_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	u64 began = bpf_ktime_get_ns();
	u32 pid = p->pid;

	return bpf_map_update_elem(&entries, &pid, &began, BPF_ANY);
}

s32 SX_OP_SLEEPABLE(grows_init)
{
	return sx_create_dsq(GROWS_QUEUE);
}

void SX_OP_SLEEPABLE(grows_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(grows,
       .select_cpu = (void *)grows_select_cpu,
       .enqueue = (void *)grows_enqueue,
       .dispatch = (void *)grows_dispatch,
       .cpu_online = (void *)grows_cpu_online,
       .cpu_offline = (void *)grows_cpu_offline,
       .init_task = (void *)grows_init_task,
       .init = (void *)grows_init,
       .exit = (void *)grows_exit,
       .timeout_ms = 5000);
