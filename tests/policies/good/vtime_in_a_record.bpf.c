// SPDX-License-Identifier: GPL-2.0-only
/* A record of the last task that ran: its number, its weight, its vtime. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum { QUEUE = 1 };

struct {
	s32 pid;
	u32 weight;
	u64 vtime;
} last;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(vtime_in_a_record)

s32 SX_OP(vtime_in_a_record_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(vtime_in_a_record_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(vtime_in_a_record_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(vtime_in_a_record_running, struct task_struct *p)
{
	last.pid = p->pid;
	last.weight = p->scx.weight;
	last.vtime = p->scx.dsq_vtime;
}

s32 SX_OP_SLEEPABLE(vtime_in_a_record_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(vtime_in_a_record_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(vtime_in_a_record,
       .select_cpu = (void *)vtime_in_a_record_select_cpu,
       .enqueue = (void *)vtime_in_a_record_enqueue,
       .dispatch = (void *)vtime_in_a_record_dispatch,
       .running = (void *)vtime_in_a_record_running,
       .init = (void *)vtime_in_a_record_init,
       .cpu_online = (void *)vtime_in_a_record_cpu_online,
       .cpu_offline = (void *)vtime_in_a_record_cpu_offline,
       .exit = (void *)vtime_in_a_record_exit,
       .timeout_ms = 5000);
