// fails: survive: runnable task stall | made no progress
// bug: F03, seen as F03 or F13
// either: a CPU that has counted out looks no more, and who is stuck is bound to it or not
// SPDX-License-Identifier: GPL-2.0-only
/* One queue, and each CPU counts its turns: after so many it takes nobody any more. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum turns_dsq {
	TURNS_QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} taken SEC(".maps");

SX_EXIT_RECORD();
SX_COUNTS_CPUS(turns)

s32 SX_OP(turns_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(turns_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, TURNS_QUEUE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(turns_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&taken, &key);

	if (!count || ++*count > 30000)
		return;
	sx_move_to_local(TURNS_QUEUE);
}

s32 SX_OP_SLEEPABLE(turns_init)
{
	return sx_create_dsq(TURNS_QUEUE);
}

void SX_OP_SLEEPABLE(turns_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(turns,
       .select_cpu = (void *)turns_select_cpu,
       .enqueue = (void *)turns_enqueue,
       .dispatch = (void *)turns_dispatch,
       .cpu_online = (void *)turns_cpu_online,
       .cpu_offline = (void *)turns_cpu_offline,
       .init = (void *)turns_init,
       .exit = (void *)turns_exit,
       .timeout_ms = 5000);
