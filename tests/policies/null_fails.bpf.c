// fails: kernel: trusted_ptr_or_null_
// SPDX-License-Identifier: GPL-2.0-only
/* dispatch is called without a previous task at times, and the BPF verifier knows it. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(null)

void SX_OP(null_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP(null_dispatch, s32 cpu, struct task_struct *prev)
{
	if (prev->scx.flags & SCX_TASK_QUEUED)
		sx_set_slice(prev, SCX_SLICE_DFL);
}

void SX_OP_SLEEPABLE(null_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(null,
       .enqueue = (void *)null_enqueue,
       .dispatch = (void *)null_dispatch,
       .cpu_online = (void *)null_cpu_online,
       .cpu_offline = (void *)null_cpu_offline,
       .exit = (void *)null_exit,
       .timeout_ms = 5000);
