// fails: survive: task 200 is one too many
// SPDX-License-Identifier: GPL-2.0-only
/* Ends itself in error when it has seen enough. */
#include "sx/sx.h"

static u64 seen;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(abort)

void SX_OP(abort_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 number = __sync_fetch_and_add(&seen, 1);

	if (number == 200)
		sx_error("task %llu is one too many", number);
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(abort_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(abort,
       .enqueue = (void *)abort_enqueue,
       .cpu_online = (void *)abort_cpu_online,
       .cpu_offline = (void *)abort_cpu_offline,
       .exit = (void *)abort_exit,
       .timeout_ms = 5000);
