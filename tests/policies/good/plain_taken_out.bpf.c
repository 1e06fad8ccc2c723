// SPDX-License-Identifier: GPL-2.0-only
/* Every task has an entry in a hash for as long as it lives. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum kept_dsq {
	KEPT_QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u64);
} entries SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(kept)

s32 SX_OP(kept_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(kept_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, KEPT_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(kept_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(KEPT_QUEUE);
}

s32 SX_OP(kept_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	u64 began = bpf_ktime_get_ns();
	u32 pid = p->pid;

	return bpf_map_update_elem(&entries, &pid, &began, BPF_ANY);
}

void SX_OP(kept_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	u32 pid = p->pid;

	bpf_map_delete_elem(&entries, &pid);
}

s32 SX_OP_SLEEPABLE(kept_init)
{
	return sx_create_dsq(KEPT_QUEUE);
}

void SX_OP_SLEEPABLE(kept_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(kept,
       .select_cpu = (void *)kept_select_cpu,
       .enqueue = (void *)kept_enqueue,
       .dispatch = (void *)kept_dispatch,
       .cpu_online = (void *)kept_cpu_online,
       .cpu_offline = (void *)kept_cpu_offline,
       .init_task = (void *)kept_init_task,
       .exit_task = (void *)kept_exit_task,
       .init = (void *)kept_init,
       .exit = (void *)kept_exit,
       .timeout_ms = 5000);
