// fails: object: '.bss' is too large
// SPDX-License-Identifier: GPL-2.0-only
/* A table for every possible pid, of a size that no guest of ours can give it. */
#include "sx/sx.h"

SX_EXIT_RECORD();
SX_COUNTS_CPUS(huge_globals)

u64 seen[1 << 22][8];

void SX_OP(huge_globals_enqueue, struct task_struct *p, u64 enq_flags)
{
	seen[p->pid & ((1 << 22) - 1)][0]++;
	sx_insert(p, SCX_DSQ_GLOBAL, 3 * SX_MS, enq_flags);
}

void SX_OP_SLEEPABLE(huge_globals_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(huge_globals,
       .enqueue = (void *)huge_globals_enqueue,
       .cpu_online = (void *)huge_globals_cpu_online,
       .cpu_offline = (void *)huge_globals_cpu_offline,
       .exit = (void *)huge_globals_exit,
       .timeout_ms = 5000);
