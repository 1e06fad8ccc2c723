// SPDX-License-Identifier: GPL-2.0-only
/* Headers of the host's C library and kernel, which lie below the directory of its architecture. */
#include "sx/sx.h"
#include <limits.h>

SX_EXIT_RECORD();
SX_COUNTS_CPUS(includes_limits)

void SX_OP(includes_limits_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, SX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 SX_OP_SLEEPABLE(includes_limits_init)
{
	return sx_nr_cpu_ids() ? 0 : -INT_MAX;
}

void SX_OP_SLEEPABLE(includes_limits_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(includes_limits,
       .enqueue = (void *)includes_limits_enqueue,
       .init = (void *)includes_limits_init,
       .cpu_online = (void *)includes_limits_cpu_online,
       .cpu_offline = (void *)includes_limits_cpu_offline,
       .exit = (void *)includes_limits_exit,
       .timeout_ms = 5000);
