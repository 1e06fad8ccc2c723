// noted: object: slice_ns is const volatile and 0, which a loader fills
// bug: F20
// ends: note: a task with slice 0 runs on to the next tick: more switches, and no failure
// SPDX-License-Identifier: GPL-2.0-only
/* The slice is its loader's to give, and nobody gave it: `--set slice_ns=5000000` is all that is missing. */
#include "sx/sx.h"

const volatile u64 slice_ns;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f20_not_filled)

void SX_OP(f20_not_filled_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
}

void SX_OP_SLEEPABLE(f20_not_filled_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f20_not_filled,
       .enqueue = (void *)f20_not_filled_enqueue,
       .cpu_online = (void *)f20_not_filled_cpu_online,
       .cpu_offline = (void *)f20_not_filled_cpu_offline,
       .exit = (void *)f20_not_filled_exit,
       .timeout_ms = 5000);
