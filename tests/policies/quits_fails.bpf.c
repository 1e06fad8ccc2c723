// fails: survive: unregistered from BPF
// SPDX-License-Identifier: GPL-2.0-only
/* Leaves in good order, but by itself: nobody asked it to. */
#include "sx/sx.h"

static u64 seen;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(quits)

void SX_OP(quits_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (__sync_fetch_and_add(&seen, 1) == 200)
		sx_end(7, "that is all");
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(quits_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(quits,
       .enqueue = (void *)quits_enqueue,
       .cpu_online = (void *)quits_cpu_online,
       .cpu_offline = (void *)quits_cpu_offline,
       .exit = (void *)quits_exit,
       .timeout_ms = 5000);
