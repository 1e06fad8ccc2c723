// SPDX-License-Identifier: GPL-2.0-only
/* Written with the names that kernel 6.12 had, mapped to ours. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum old_names_dsq {
	QUEUE = 0,
};

#define scx_bpf_dispatch(p, dsq, slice, flags) sx_insert(p, dsq, slice, flags)
#define scx_bpf_consume(dsq) sx_move_to_local(dsq)

SX_EXIT_RECORD();
SX_COUNTS_CPUS(old_names)

s32 SX_OP(old_names_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(old_names_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->flags & SX_PF_KTHREAD && p->nr_cpus_allowed == 1 && enq_flags & SX_ENQ_WAKEUP) {
		scx_bpf_dispatch(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dispatch(p, QUEUE, sx_bounded_slice(SCX_SLICE_DFL, sx_dsq_nr_queued(QUEUE), cpus), enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(old_names_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_consume(QUEUE);
}

s32 SX_OP_SLEEPABLE(old_names_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(old_names_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(old_names,
       .select_cpu = (void *)old_names_select_cpu,
       .enqueue = (void *)old_names_enqueue,
       .dispatch = (void *)old_names_dispatch,
       .cpu_online = (void *)old_names_cpu_online,
       .cpu_offline = (void *)old_names_cpu_offline,
       .init = (void *)old_names_init,
       .exit = (void *)old_names_exit,
       .timeout_ms = 5000);
