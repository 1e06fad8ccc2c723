// SPDX-License-Identifier: GPL-2.0-only
/* An #include that is turned off by hand, with another #if within. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#if 0
#if 1
#include "../old/common.bpf.h"
#endif
#elif defined(OLD)
#include "../older/common.bpf.h"
#endif

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(include_commented_out)

s32 SX_OP(include_commented_out_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(include_commented_out_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(include_commented_out_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(include_commented_out_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(include_commented_out_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(include_commented_out,
       .select_cpu = (void *)include_commented_out_select_cpu,
       .enqueue = (void *)include_commented_out_enqueue,
       .dispatch = (void *)include_commented_out_dispatch,
       .init = (void *)include_commented_out_init,
       .cpu_online = (void *)include_commented_out_cpu_online,
       .cpu_offline = (void *)include_commented_out_cpu_offline,
       .exit = (void *)include_commented_out_exit,
       .timeout_ms = 5000);
