// fails: survive: the kernel keeps such a one on its CPU and gives it a whole slice
// bug: F19
// SPDX-License-Identifier: GPL-2.0-only
/* Who is interrupted by a real-time task is to be enqueued again, and the kernel keeps it with a whole slice instead. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

u32 scx_bpf_reenqueue_local(void) __ksym;

enum f19_release_dsq {
	LINE = 7,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f19_release)

void SX_OP(f19_release_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f19_release_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(LINE);
}

void SX_OP(f19_release_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SX_OP_SLEEPABLE(f19_release_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(f19_release_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f19_release,
       .enqueue = (void *)f19_release_enqueue,
       .dispatch = (void *)f19_release_dispatch,
       .cpu_release = (void *)f19_release_cpu_release,
       .init = (void *)f19_release_init,
       .cpu_online = (void *)f19_release_cpu_online,
       .cpu_offline = (void *)f19_release_cpu_offline,
       .exit = (void *)f19_release_exit,
       .timeout_ms = 5000);
