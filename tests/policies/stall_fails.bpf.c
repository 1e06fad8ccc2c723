// fails: object: neither inserted nor kept
// bug: F01
// SPDX-License-Identifier: GPL-2.0-only
/* Drops what it should queue: nobody runs who is not placed on an idle CPU. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(stall)

void SX_OP(stall_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_kthread(p)) /* or the machine would be dead before the policy is blamed */
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(stall_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(stall,
       .enqueue = (void *)stall_enqueue,
       .cpu_online = (void *)stall_cpu_online,
       .cpu_offline = (void *)stall_cpu_offline,
       .exit = (void *)stall_exit,
       .timeout_ms = 5000);
