// fails: survive: starved by tasks
// bug: F43
// SPDX-License-Identifier: GPL-2.0-only
/* Each CPU has a queue of its own for those that are bound to it, and looks there before it looks at the shared one. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f43_queue_dsq {
	REST = 1000,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f43_queue)

void SX_OP(f43_queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_is_pinned(p)) {
		sx_insert(p, sx_task_cpu(p), 40 * SX_MS, enq_flags);
		sx_kick_cpu(sx_task_cpu(p), SX_KICK_IDLE);
		return;
	}
	sx_insert(p, REST, 40 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f43_queue_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(cpu))
		sx_move_to_local(REST);
}

s32 SX_OP_SLEEPABLE(f43_queue_init)
{
	s32 cpu, err;

	cpus = sx_nr_online_cpus();
	bpf_for(cpu, 0, (s32)sx_nr_cpu_ids()) {
		err = sx_create_dsq(cpu);
		if (err)
			return err;
	}
	return sx_create_dsq(REST);
}

void SX_OP_SLEEPABLE(f43_queue_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f43_queue,
       .enqueue = (void *)f43_queue_enqueue,
       .dispatch = (void *)f43_queue_dispatch,
       .cpu_online = (void *)f43_queue_cpu_online,
       .cpu_offline = (void *)f43_queue_cpu_offline,
       .init = (void *)f43_queue_init,
       .exit = (void *)f43_queue_exit,
       .timeout_ms = 5000);
