// fails: survive: fork
// bug: F27
// SPDX-License-Identifier: GPL-2.0-only
/* A map entry for every user's task that ever was, none given back: from some task on, nobody can fork. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f27_fork_dsq {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32);
	__type(key, s32);
	__type(value, u64);
} began SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f27_fork)

s32 SX_OP_SLEEPABLE(f27_fork_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	u64 now = sx_now();
	s32 pid = p->pid;

	return sx_is_kthread(p) ? 0 : bpf_map_update_elem(&began, &pid, &now, BPF_ANY);
}

s32 SX_OP(f27_fork_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f27_fork_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f27_fork_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f27_fork_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f27_fork_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f27_fork,
       .init_task = (void *)f27_fork_init_task,
       .select_cpu = (void *)f27_fork_select_cpu,
       .enqueue = (void *)f27_fork_enqueue,
       .dispatch = (void *)f27_fork_dispatch,
       .cpu_online = (void *)f27_fork_cpu_online,
       .cpu_offline = (void *)f27_fork_cpu_offline,
       .init = (void *)f27_fork_init,
       .exit = (void *)f27_fork_exit,
       .timeout_ms = 5000);
