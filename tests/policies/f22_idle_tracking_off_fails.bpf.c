// fails: object: SCX_OPS_KEEP_BUILTIN_IDLE
// bug: F22
// SPDX-License-Identifier: GPL-2.0-only
/* An update_idle callback turns the kernel's idle tracking off, which the rest relies on; the flag that keeps it is missing. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f22_off_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f22_off)

s32 SX_OP(f22_off_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f22_off_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f22_off_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(f22_off_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(f22_off_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f22_off_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f22_off,
       .select_cpu = (void *)f22_off_select_cpu,
       .enqueue = (void *)f22_off_enqueue,
       .dispatch = (void *)f22_off_dispatch,
       .update_idle = (void *)f22_off_update_idle,
       .cpu_online = (void *)f22_off_cpu_online,
       .cpu_offline = (void *)f22_off_cpu_offline,
       .init = (void *)f22_off_init,
       .exit = (void *)f22_off_exit,
       .timeout_ms = 5000);
