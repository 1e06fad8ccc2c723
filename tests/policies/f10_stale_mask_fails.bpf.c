// fails: survive: not allowed for
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Asks where the task may run, but of what it noted when the task was made: the mask has changed since. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f10_stale_dsq {
	QUEUE = 0,
};

struct task_ctx {
	bool any_cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u32 nr_cpus, next;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f10_stale)

s32 SX_OP_SLEEPABLE(f10_stale_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	tc->any_cpu = p->nr_cpus_allowed >= (int)nr_cpus && !sx_is_kthread(p);
	return 0;
}

s32 SX_OP(f10_stale_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f10_stale_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	u32 cpu = __sync_fetch_and_add(&next, 1) % nr_cpus;

	if (tc && tc->any_cpu && !sx_is_migration_disabled(p)) {
		sx_insert(p, SX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f10_stale_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f10_stale_init)
{
	nr_cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f10_stale_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f10_stale,
       .init_task = (void *)f10_stale_init_task,
       .select_cpu = (void *)f10_stale_select_cpu,
       .enqueue = (void *)f10_stale_enqueue,
       .dispatch = (void *)f10_stale_dispatch,
       .cpu_online = (void *)f10_stale_cpu_online,
       .cpu_offline = (void *)f10_stale_cpu_offline,
       .init = (void *)f10_stale_init,
       .exit = (void *)f10_stale_exit,
       .timeout_ms = 5000);
