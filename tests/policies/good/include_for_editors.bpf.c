// SPDX-License-Identifier: GPL-2.0-only
/* An editor is shown headers that the compiler never reads. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#ifdef __INTELLISENSE__
#include "../../../../usr/include/scx/common.bpf.h"
#include "/usr/include/linux/bpf.h"
#endif

enum { QUEUE = 1 };

SX_EXIT_RECORD();
SX_COUNTS_CPUS(include_for_editors)

s32 SX_OP(include_for_editors_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(include_for_editors_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(include_for_editors_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(include_for_editors_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(include_for_editors_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(include_for_editors,
       .select_cpu = (void *)include_for_editors_select_cpu,
       .enqueue = (void *)include_for_editors_enqueue,
       .dispatch = (void *)include_for_editors_dispatch,
       .init = (void *)include_for_editors_init,
       .cpu_online = (void *)include_for_editors_cpu_online,
       .cpu_offline = (void *)include_for_editors_cpu_offline,
       .exit = (void *)include_for_editors_exit,
       .timeout_ms = 5000);
