// SPDX-License-Identifier: GPL-2.0-only
/* The slice is looked up in a map that may be changed from outside, and is kept within sane limits. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum map_slice_dsq {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} slices SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(map_slice)

/* For light and for heavy tasks. */
static u64 slice_of(u32 weight)
{
	u32 key = weight > SX_WEIGHT_NICE_0;
	u64 *set = bpf_map_lookup_elem(&slices, &key);
	u64 ns = set && *set ? *set : 6 * SX_MS;

	if (ns < SX_MS)
		ns = SX_MS;
	if (ns > 20 * SX_MS)
		ns = 20 * SX_MS;
	return sx_bounded_slice(ns, sx_dsq_nr_queued(QUEUE), cpus);
}

s32 SX_OP(map_slice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_of(p->scx.weight));
}

void SX_OP(map_slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, slice_of(p->scx.weight), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(map_slice_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(map_slice_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(map_slice_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(map_slice,
       .select_cpu = (void *)map_slice_select_cpu,
       .enqueue = (void *)map_slice_enqueue,
       .dispatch = (void *)map_slice_dispatch,
       .cpu_online = (void *)map_slice_cpu_online,
       .cpu_offline = (void *)map_slice_cpu_offline,
       .init = (void *)map_slice_init,
       .exit = (void *)map_slice_exit,
       .timeout_ms = 5000);
