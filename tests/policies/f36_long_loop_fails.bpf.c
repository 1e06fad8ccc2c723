// fails: survive: watchdog failed to check in | soft lockup
// bug: F36
// SPDX-License-Identifier: GPL-2.0-only
/* Every dispatch goes over a table of a million entries, with the run queue locked. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f36_long_loop_dsq {
	QUEUE = 0,
};

enum {
	ENTRIES = 1 << 20,
};

static u32 table[1024], sum;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f36_long_loop)

s32 SX_OP(f36_long_loop_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f36_long_loop_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f36_long_loop_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 i;

	bpf_for(i, 0, ENTRIES)
		sum += table[i & 1023];
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f36_long_loop_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f36_long_loop_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f36_long_loop,
       .select_cpu = (void *)f36_long_loop_select_cpu,
       .enqueue = (void *)f36_long_loop_enqueue,
       .dispatch = (void *)f36_long_loop_dispatch,
       .cpu_online = (void *)f36_long_loop_cpu_online,
       .cpu_offline = (void *)f36_long_loop_cpu_offline,
       .init = (void *)f36_long_loop_init,
       .exit = (void *)f36_long_loop_exit,
       .timeout_ms = 5000);
