// fails: object: reads no affinity
// bug: F10
// SPDX-License-Identifier: GPL-2.0-only
/* Sends every task of a user's to CPU 0, whether it may run there or not. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(affinity)

void SX_OP(affinity_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, sx_is_kthread(p) ? SX_DSQ_LOCAL : SX_DSQ_LOCAL_ON | 0, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(affinity_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(affinity,
       .enqueue = (void *)affinity_enqueue,
       .cpu_online = (void *)affinity_cpu_online,
       .cpu_offline = (void *)affinity_cpu_offline,
       .exit = (void *)affinity_exit,
       .timeout_ms = 5000);
