// fails: build: use of undeclared identifier 'NOWHERE'
// SPDX-License-Identifier: GPL-2.0-only
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(syntax)

void SX_OP(syntax_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, NOWHERE, SCX_SLICE_DFL, enq_flags);
}

void SX_OP_SLEEPABLE(syntax_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(syntax,
       .enqueue = (void *)syntax_enqueue,
       .cpu_online = (void *)syntax_cpu_online,
       .cpu_offline = (void *)syntax_cpu_offline,
       .exit = (void *)syntax_exit,
       .timeout_ms = 5000);
