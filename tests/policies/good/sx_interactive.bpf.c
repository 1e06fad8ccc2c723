// SPDX-License-Identifier: GPL-2.0-only
/* Tasks that ran shortly when they last ran are due at once, others a little later, in real time. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/cputime.bpf.h"

enum interactive_dsq {
	QUEUE = 0,
};

struct task_ctx {
	u64 mark;
	u64 burst_ns; /* smoothed CPU time between waking and sleeping */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(interactive)

s32 SX_OP_SLEEPABLE(interactive_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(interactive_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		sx_mark_cpu_time(p, &tc->mark);
}

s32 SX_OP(interactive_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(interactive_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	bool interactive = tc && tc->burst_ns < 2 * SX_MS && sx_cpu_time_since(p, tc->mark) < 2 * SX_MS;

	sx_insert_due(p, QUEUE, interactive ? SX_MS : 3 * SX_MS, interactive ? 0 : 20 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(interactive_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(interactive_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		tc->burst_ns = (3 * tc->burst_ns + sx_cpu_time_since(p, tc->mark)) / 4;
}

s32 SX_OP_SLEEPABLE(interactive_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(interactive_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(interactive,
       .init_task = (void *)interactive_init_task,
       .runnable = (void *)interactive_runnable,
       .select_cpu = (void *)interactive_select_cpu,
       .enqueue = (void *)interactive_enqueue,
       .dispatch = (void *)interactive_dispatch,
       .quiescent = (void *)interactive_quiescent,
       .cpu_online = (void *)interactive_cpu_online,
       .cpu_offline = (void *)interactive_cpu_offline,
       .init = (void *)interactive_init,
       .exit = (void *)interactive_exit,
       .timeout_ms = 5000);
