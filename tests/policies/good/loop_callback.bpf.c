// SPDX-License-Identifier: GPL-2.0-only
/* bpf_loop with the largest count there is; the callback says when it is enough. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, s32);
} waiting SEC(".maps");

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

static bool take_one(void)
{
	struct task_struct *p;
	s32 pid;

	if (bpf_map_pop_elem(&waiting, &pid))
		return false;
	p = bpf_task_from_pid(pid);
	if (p) {
		sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
		bpf_task_release(p);
	}
	return true;
}

static long one_more(u32 round, void *taken)
{
	u32 *n = taken;

	return ++*n > 8 || !take_one();
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(loop_callback)

s32 SX_OP(loop_callback_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(loop_callback_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(loop_callback_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 taken = 0;

	bpf_loop(BPF_MAX_LOOPS, one_more, &taken, 0);
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(loop_callback_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(loop_callback_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(loop_callback,
       .select_cpu = (void *)loop_callback_select_cpu,
       .enqueue = (void *)loop_callback_enqueue,
       .dispatch = (void *)loop_callback_dispatch,
       .init = (void *)loop_callback_init,
       .cpu_online = (void *)loop_callback_cpu_online,
       .cpu_offline = (void *)loop_callback_cpu_offline,
       .exit = (void *)loop_callback_exit,
       .timeout_ms = 5000);
