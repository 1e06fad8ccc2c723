// fails: object: built-in
// bug: F05
// SPDX-License-Identifier: GPL-2.0-only
/* Which queue tasks go to is a constant of the object, and names a CPU's own. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

const volatile u64 target = SCX_DSQ_LOCAL;
u64 now;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f05_vtime_by_rodata)

s32 SX_OP(f05_vtime_by_rodata_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f05_vtime_by_rodata_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert_vtime(p, target, SCX_SLICE_DFL, now++, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f05_vtime_by_rodata_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f05_vtime_by_rodata_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f05_vtime_by_rodata_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f05_vtime_by_rodata,
       .select_cpu = (void *)f05_vtime_by_rodata_select_cpu,
       .enqueue = (void *)f05_vtime_by_rodata_enqueue,
       .dispatch = (void *)f05_vtime_by_rodata_dispatch,
       .init = (void *)f05_vtime_by_rodata_init,
       .cpu_online = (void *)f05_vtime_by_rodata_cpu_online,
       .cpu_offline = (void *)f05_vtime_by_rodata_cpu_offline,
       .exit = (void *)f05_vtime_by_rodata_exit,
       .timeout_ms = 5000);
