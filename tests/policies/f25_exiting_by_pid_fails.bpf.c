// fails: survive: is in no queue
// bug: F25, seen as F01
// SPDX-License-Identifier: GPL-2.0-only
/* Wants exiting tasks too, keeps tasks by pid, and an exiting task has none that could be looked up. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f25_exiting_dsq {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} waiting SEC(".maps");

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f25_exiting)

s32 SX_OP(f25_exiting_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f25_exiting_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f25_exiting_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for(i, 0, 16) {
		if (bpf_map_pop_elem(&waiting, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		sx_insert(p, QUEUE, SCX_SLICE_DFL, 0);
		bpf_task_release(p);
	}
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f25_exiting_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f25_exiting_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f25_exiting,
       .select_cpu = (void *)f25_exiting_select_cpu,
       .enqueue = (void *)f25_exiting_enqueue,
       .dispatch = (void *)f25_exiting_dispatch,
       .cpu_online = (void *)f25_exiting_cpu_online,
       .cpu_offline = (void *)f25_exiting_cpu_offline,
       .init = (void *)f25_exiting_init,
       .exit = (void *)f25_exiting_exit,
       .flags = SCX_OPS_ENQ_EXITING,
       .timeout_ms = 5000);
