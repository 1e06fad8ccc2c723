// fails: survive: dispatch buffer overflow
// bug: F09
// SPDX-License-Identifier: GPL-2.0-only
/* Dispatch moves up to 64 tasks at once; the kernel's buffer for one dispatch was asked to be of 4. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f09_overflow_dsq {
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
SX_COUNTS_CPUS(f09_overflow)

s32 SX_OP(f09_overflow_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f09_overflow_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f09_overflow_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for(i, 0, 64) {
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

s32 SX_OP_SLEEPABLE(f09_overflow_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f09_overflow_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f09_overflow,
       .select_cpu = (void *)f09_overflow_select_cpu,
       .enqueue = (void *)f09_overflow_enqueue,
       .dispatch = (void *)f09_overflow_dispatch,
       .cpu_online = (void *)f09_overflow_cpu_online,
       .cpu_offline = (void *)f09_overflow_cpu_offline,
       .init = (void *)f09_overflow_init,
       .exit = (void *)f09_overflow_exit,
       .dispatch_max_batch = 4,
       .timeout_ms = 5000);
