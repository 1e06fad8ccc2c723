// fails: fair: nice levels are taken for the same: nice -5 gets
// bug: F16, with --require nice
// SPDX-License-Identifier: GPL-2.0-only
/* Who is lighter than nice 0 pays more; all that are heavier pay as much as nice 0. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/vtime.bpf.h"
#include "primitives/slice.bpf.h"

enum f16_heavy_dsq {
	QUEUE = 0,
};

struct task_ctx {
	u64 mark; /* CPU time when it last started to run */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 clock;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f16_heavy)

/* CPU time since it was last looked at, as vtime. */
static __always_inline void charge(struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!tc)
		return;
	sx_set_vtime(p, p->scx.dsq_vtime + sx_cpu_time_since(p, tc->mark) * SX_WEIGHT_NICE_0 / (p->scx.weight < SX_WEIGHT_NICE_0 ? p->scx.weight : SX_WEIGHT_NICE_0));
	sx_mark_cpu_time(p, &tc->mark);
}

/* prev's slice ended and the queue does not hold it: is it still before the queue's first? */
static __always_inline bool goes_on(struct task_struct *prev)
{
	struct task_struct *first = sx_dsq_peek(QUEUE);

	charge(prev);
	return !first || sx_before(prev->scx.dsq_vtime, first->scx.dsq_vtime);
}

s32 SX_OP_SLEEPABLE(f16_heavy_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP(f16_heavy_enable, struct task_struct *p)
{
	sx_set_vtime(p, clock);
}

s32 SX_OP(f16_heavy_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 3 * SX_MS);
}

void SX_OP(f16_heavy_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = sx_clamp_vtime(p->scx.dsq_vtime, clock, 3 * SX_MS, 10 * 3 * SX_MS);

	sx_insert_vtime(p, QUEUE, 3 * SX_MS, vtime, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f16_heavy_dispatch, s32 cpu, struct task_struct *prev)
{
	if (sx_wants_cpu(prev) && goes_on(prev))
		sx_set_slice(prev, 3 * SX_MS);
	else
		sx_move_to_local(QUEUE);
}

void SX_OP(f16_heavy_running, struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		sx_mark_cpu_time(p, &tc->mark);
	sx_advance_vtime(&clock, p->scx.dsq_vtime);
}

void SX_OP(f16_heavy_stopping, struct task_struct *p, bool runnable)
{
	charge(p);
}

s32 SX_OP_SLEEPABLE(f16_heavy_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f16_heavy_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f16_heavy,
       .init_task = (void *)f16_heavy_init_task,
       .enable = (void *)f16_heavy_enable,
       .select_cpu = (void *)f16_heavy_select_cpu,
       .enqueue = (void *)f16_heavy_enqueue,
       .dispatch = (void *)f16_heavy_dispatch,
       .running = (void *)f16_heavy_running,
       .stopping = (void *)f16_heavy_stopping,
       .cpu_online = (void *)f16_heavy_cpu_online,
       .cpu_offline = (void *)f16_heavy_cpu_offline,
       .init = (void *)f16_heavy_init,
       .exit = (void *)f16_heavy_exit,
       .timeout_ms = 5000);
