// SPDX-License-Identifier: GPL-2.0-only
/* Two kinds of storage for each task, both made in init_task or the task is refused. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };
struct task_ctx {
	u64 times;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} wakes SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(storage_two_maps)

s32 SX_OP(storage_two_maps_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(storage_two_maps_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *mine = bpf_task_storage_get(&tasks, p, 0, 0);
	u64 *woken = bpf_task_storage_get(&wakes, p, 0, 0);

	if (!mine || !woken)
		return;
	mine->times += ++*woken;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(storage_two_maps_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(storage_two_maps_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (!bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -ENOMEM;
	if (!bpf_task_storage_get(&wakes, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -ENOMEM;
	return 0;
}

s32 SX_OP_SLEEPABLE(storage_two_maps_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(storage_two_maps_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(storage_two_maps,
       .select_cpu = (void *)storage_two_maps_select_cpu,
       .enqueue = (void *)storage_two_maps_enqueue,
       .dispatch = (void *)storage_two_maps_dispatch,
       .init_task = (void *)storage_two_maps_init_task,
       .init = (void *)storage_two_maps_init,
       .cpu_online = (void *)storage_two_maps_cpu_online,
       .cpu_offline = (void *)storage_two_maps_cpu_offline,
       .exit = (void *)storage_two_maps_exit,
       .timeout_ms = 5000);
