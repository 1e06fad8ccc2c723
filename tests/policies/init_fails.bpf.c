// fails: kernel: ops.init() failed
// SPDX-License-Identifier: GPL-2.0-only
/* Creates one queue twice, and passes the error on. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(init)

void SX_OP(init_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 SX_OP_SLEEPABLE(init_init)
{
	s32 err = sx_create_dsq(1);

	return err ?: sx_create_dsq(1);
}

void SX_OP_SLEEPABLE(init_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(init,
       .enqueue = (void *)init_enqueue,
       .cpu_online = (void *)init_cpu_online,
       .cpu_offline = (void *)init_cpu_offline,
       .init = (void *)init_init,
       .exit = (void *)init_exit,
       .timeout_ms = 5000);
