// fails: fair: idled
// bug: F21
// SPDX-License-Identifier: GPL-2.0-only
/* Four queues, of which each look leaves out one, another each time: a CPU sleeps though a task waits there. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f21_left_dsq {
	QUEUES = 4,
};

static u64 looks;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f21_left)

void SX_OP(f21_left_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, (u32)p->pid % QUEUES, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f21_left_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = __sync_fetch_and_add(&looks, 1);
	s32 i;

	bpf_for(i, 0, QUEUES - 1)
		if (sx_move_to_local((first + i) % QUEUES))
			return;
}

s32 SX_OP_SLEEPABLE(f21_left_init)
{
	s32 i, err;

	cpus = sx_nr_online_cpus();
	bpf_for(i, 0, QUEUES) {
		err = sx_create_dsq(i);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(f21_left_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f21_left,
       .enqueue = (void *)f21_left_enqueue,
       .dispatch = (void *)f21_left_dispatch,
       .cpu_online = (void *)f21_left_cpu_online,
       .cpu_offline = (void *)f21_left_cpu_offline,
       .init = (void *)f21_left_init,
       .exit = (void *)f21_left_exit,
       .timeout_ms = 5000);
