// fails: object: built-in
// bug: F05
// SPDX-License-Identifier: GPL-2.0-only
/* Built-in queues are first come first served; they cannot be ordered by vtime. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f05_global)

s32 SX_OP(f05_global_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f05_global_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert_vtime(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, sx_now(), enq_flags);
}

void SX_OP_SLEEPABLE(f05_global_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f05_global,
       .select_cpu = (void *)f05_global_select_cpu,
       .enqueue = (void *)f05_global_enqueue,
       .cpu_online = (void *)f05_global_cpu_online,
       .cpu_offline = (void *)f05_global_cpu_offline,
       .exit = (void *)f05_global_exit,
       .timeout_ms = 5000);
