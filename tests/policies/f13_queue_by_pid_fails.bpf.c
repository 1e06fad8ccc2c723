// fails: survive: runnable task stall
// bug: F13, seen as F03
// SPDX-License-Identifier: GPL-2.0-only
/* A queue per CPU, chosen by the task's number: a task bound to another CPU is never reached by it. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f13_by_pid_dsq {
	QUEUE = 0,
};

static u32 queues;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f13_by_pid)

void SX_OP(f13_by_pid_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 cpu = p->pid % queues;

	if (sx_is_kthread(p)) {
		sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	sx_insert(p, QUEUE + cpu, SCX_SLICE_DFL, enq_flags);
	sx_kick_cpu(cpu, SX_KICK_IDLE);
}

void SX_OP(f13_by_pid_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE + cpu);
}

s32 SX_OP_SLEEPABLE(f13_by_pid_init)
{
	s32 cpu, err;

	cpus = sx_nr_online_cpus();
	queues = sx_nr_cpu_ids();
	bpf_for(cpu, 0, (s32)queues) {
		err = sx_create_dsq(QUEUE + cpu);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(f13_by_pid_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f13_by_pid,
       .enqueue = (void *)f13_by_pid_enqueue,
       .dispatch = (void *)f13_by_pid_dispatch,
       .cpu_online = (void *)f13_by_pid_cpu_online,
       .cpu_offline = (void *)f13_by_pid_cpu_offline,
       .init = (void *)f13_by_pid_init,
       .exit = (void *)f13_by_pid_exit,
       .timeout_ms = 5000);
