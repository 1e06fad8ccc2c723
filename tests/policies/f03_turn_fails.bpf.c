// fails: survive: runnable task stall
// bug: F03
// SPDX-License-Identifier: GPL-2.0-only
/* Two queues, and dispatch takes from the one whose turn it is; but the turn never changes. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f03_turn_dsq {
	QUEUE = 0,
	LOW = 1,
};

static volatile u32 turn; /* whoever empties a queue should pass it on */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f03_turn)

s32 SX_OP(f03_turn_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f03_turn_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, p->scx.weight < 100 ? LOW : QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f03_turn_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE + (turn & 1));
}

s32 SX_OP_SLEEPABLE(f03_turn_init)
{
	return sx_create_dsq(QUEUE) ?: sx_create_dsq(LOW);
}

void SX_OP_SLEEPABLE(f03_turn_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f03_turn,
       .select_cpu = (void *)f03_turn_select_cpu,
       .enqueue = (void *)f03_turn_enqueue,
       .dispatch = (void *)f03_turn_dispatch,
       .cpu_online = (void *)f03_turn_cpu_online,
       .cpu_offline = (void *)f03_turn_cpu_offline,
       .init = (void *)f03_turn_init,
       .exit = (void *)f03_turn_exit,
       .timeout_ms = 5000);
