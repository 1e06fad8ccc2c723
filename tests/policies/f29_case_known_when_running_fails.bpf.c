// suspected: source: ends the policy
// bug: F29
// ends: not seen: the kernel calls init_task before all else, and exit_task after it
// SPDX-License-Identifier: GPL-2.0-only
/* Known by pid from init_task to exit_task; one that runs and is not found ends the policy. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, s32);
	__type(value, u64);
} known SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_pid_running)

void SX_OP(f29_pid_running_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP(f29_pid_running_running, struct task_struct *p)
{
	s32 pid = p->pid;

	if (!bpf_map_lookup_elem(&known, &pid))
		sx_error("task %d runs, and is not known", pid);
}

s32 SX_OP_SLEEPABLE(f29_pid_running_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	s32 pid = p->pid;
	u64 one = 1;

	return bpf_map_update_elem(&known, &pid, &one, BPF_ANY) ? -ENOMEM : 0;
}

void SX_OP(f29_pid_running_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	s32 pid = p->pid;

	bpf_map_delete_elem(&known, &pid);
}

void SX_OP_SLEEPABLE(f29_pid_running_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_pid_running,
       .enqueue = (void *)f29_pid_running_enqueue,
       .running = (void *)f29_pid_running_running,
       .init_task = (void *)f29_pid_running_init_task,
       .exit_task = (void *)f29_pid_running_exit_task,
       .cpu_online = (void *)f29_pid_running_cpu_online,
       .cpu_offline = (void *)f29_pid_running_cpu_offline,
       .exit = (void *)f29_pid_running_exit,
       .timeout_ms = 5000);
