// SPDX-License-Identifier: GPL-2.0-only
/*
 * stalls - fifo that stalls on demand: for tests of what takes a policy off, and never to be verified
 *
 * A task that wakes under the name stall-one is never given a CPU. One that wakes under the name stall-all is the last
 * event: from then on nothing that waits is given one, until the policy is attached anew.
 */
#include "sx/sx.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"

#define SLICE_NS (5 * SX_MS)

enum stalls_dsq {
	STALLS_QUEUE = 0,
	STALLS_NOWHERE = 1, /* from which nobody takes */
};

static volatile u32 stalled;

SX_EXIT_RECORD();

s32 SX_OP(stalls_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SX_OP(stalls_enqueue, struct task_struct *p, u64 enq_flags)
{
	const char *name = p->comm;
	bool asked = name[0] == 's' && name[1] == 't' && name[4] == 'l' && name[5] == '-';

	if (asked && name[6] == 'a')
		stalled = 1;
	if (asked && name[6] == 'o') {
		sx_insert(p, STALLS_NOWHERE, SLICE_NS, enq_flags);
		return;
	}
	if (!stalled && sx_insert_woken_kthread(p, SLICE_NS, enq_flags))
		return;
	sx_insert(p, STALLS_QUEUE, SLICE_NS, enq_flags);
	sx_kick_cpu(sx_task_cpu(p), SCX_KICK_IDLE);
}

void SX_OP(stalls_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!stalled && !sx_move_to_local(STALLS_QUEUE) && sx_wants_cpu(prev))
		sx_set_slice(prev, SLICE_NS);
}

s32 SX_OP_SLEEPABLE(stalls_init)
{
	s32 error = sx_create_dsq(STALLS_QUEUE);

	return error ? error : sx_create_dsq(STALLS_NOWHERE);
}

void SX_OP_SLEEPABLE(stalls_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(stalls,
       .select_cpu = (void *)stalls_select_cpu,
       .enqueue = (void *)stalls_enqueue,
       .dispatch = (void *)stalls_dispatch,
       .init = (void *)stalls_init,
       .exit = (void *)stalls_exit,
       .timeout_ms = 5000);
