// fails: survive: is not known
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/* Known by thread group; a task whose group was forgotten when its first thread ended, ends the policy. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, s32);
	__type(value, u64);
} known SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_pid_parent)

void SX_OP(f29_pid_parent_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 tgid = p->tgid;

	if (!bpf_map_lookup_elem(&known, &tgid)) {
		sx_error("group %d is not known", tgid);
		return;
	}
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 SX_OP_SLEEPABLE(f29_pid_parent_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	s32 tgid = p->tgid;
	u64 one = 1;

	return bpf_map_update_elem(&known, &tgid, &one, BPF_ANY) ? -ENOMEM : 0;
}

void SX_OP(f29_pid_parent_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	s32 tgid = p->tgid;

	if (p->pid == p->tgid)
		bpf_map_delete_elem(&known, &tgid);
}

void SX_OP_SLEEPABLE(f29_pid_parent_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_pid_parent,
       .enqueue = (void *)f29_pid_parent_enqueue,
       .init_task = (void *)f29_pid_parent_init_task,
       .exit_task = (void *)f29_pid_parent_exit_task,
       .cpu_online = (void *)f29_pid_parent_cpu_online,
       .cpu_offline = (void *)f29_pid_parent_cpu_offline,
       .exit = (void *)f29_pid_parent_exit,
       .timeout_ms = 5000);
