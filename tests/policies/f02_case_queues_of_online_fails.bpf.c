// fails: survive: non-existent DSQ 0x101 | invalid DSQ ID 0x0000000000000101
// bug: F02
// SPDX-License-Identifier: GPL-2.0-only
/* As many queues as CPUs are online when the policy starts: one that comes later has none. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f02_online_made_dsq {
	FIRST = 0x100,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f02_online_made)

void SX_OP(f02_online_made_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, FIRST + sx_task_cpu(p), SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f02_online_made_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 ids = sx_nr_cpu_ids();
	u32 i;

	bpf_for(i, 0, ids) {
		if (sx_dsq_nr_queued(FIRST + (cpu + i) % (ids ?: 1)) > 0 && sx_move_to_local(FIRST + (cpu + i) % (ids ?: 1)))
			return;
	}
}

s32 SX_OP_SLEEPABLE(f02_online_made_init)
{
	u32 online = sx_nr_online_cpus();
	u32 i;
	s32 err;

	bpf_for(i, 0, online) {
		err = sx_create_dsq(FIRST + i);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(f02_online_made_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f02_online_made,
       .enqueue = (void *)f02_online_made_enqueue,
       .dispatch = (void *)f02_online_made_dispatch,
       .init = (void *)f02_online_made_init,
       .cpu_online = (void *)f02_online_made_cpu_online,
       .cpu_offline = (void *)f02_online_made_cpu_offline,
       .exit = (void *)f02_online_made_exit,
       .timeout_ms = 5000);
