// suspected: source: computed from numbers alone
// bug: F12
// ends: partly tried: the kernel ignores such a proposal; the full tier counts them, on more than two CPUs
// SPDX-License-Identifier: GPL-2.0-only
/* Spreads wake-ups over the CPUs in turn, also over those where the task may not run. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f12_wrong_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f12_wrong)

s32 SX_OP(f12_wrong_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return (prev_cpu + 1) % cpus;
}

void SX_OP(f12_wrong_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f12_wrong_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f12_wrong_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f12_wrong_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f12_wrong,
       .select_cpu = (void *)f12_wrong_select_cpu,
       .enqueue = (void *)f12_wrong_enqueue,
       .dispatch = (void *)f12_wrong_dispatch,
       .cpu_online = (void *)f12_wrong_cpu_online,
       .cpu_offline = (void *)f12_wrong_cpu_offline,
       .init = (void *)f12_wrong_init,
       .exit = (void *)f12_wrong_exit,
       .timeout_ms = 5000);
