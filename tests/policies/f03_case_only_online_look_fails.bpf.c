// fails: survive: failed to run | made no progress
// bug: F03, seen as F13
// SPDX-License-Identifier: GPL-2.0-only
/* A CPU that was offline at the start never looks into the queue: what is bound to it waits for ever. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

#define MOST 512

enum f03_online_looks_dsq {
	LINE = 3,
};

static u8 works[MOST];

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f03_online_looks)

void SX_OP(f03_online_looks_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f03_online_looks_dispatch, s32 cpu, struct task_struct *prev)
{
	if (cpu >= 0 && cpu < MOST && works[cpu])
		sx_move_to_local(LINE);
}

s32 SX_OP_SLEEPABLE(f03_online_looks_init)
{
	u32 i;

	bpf_for(i, 0, MOST) {
		if (i < sx_nr_cpu_ids())
			works[i] = sx_cpu_online(i);
	}
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(f03_online_looks_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f03_online_looks,
       .enqueue = (void *)f03_online_looks_enqueue,
       .dispatch = (void *)f03_online_looks_dispatch,
       .init = (void *)f03_online_looks_init,
       .cpu_online = (void *)f03_online_looks_cpu_online,
       .cpu_offline = (void *)f03_online_looks_cpu_offline,
       .exit = (void *)f03_online_looks_exit,
       .timeout_ms = 5000);
