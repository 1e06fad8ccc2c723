// fails: survive: made no progress | failed to check in | failed to run
// bug: F21, seen as F03 or F01
// either: the sibling takes nobody who floats, so a CPU idles beside a queue that it never empties (F03); in a run without a dump only the wait is seen (F01)
// SPDX-License-Identifier: GPL-2.0-only
/* Takes every second CPU for the thread of another core, and gives it nothing but what is bound to it. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f21_sibling_never_dsq {
	CROWD = 31,
	OWN = 1000,
};

static u8 turn[512];

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f21_sibling_never)

void SX_OP(f21_sibling_never_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = sx_task_cpu(p);

	if (sx_is_pinned(p)) {
		sx_insert(p, OWN + cpu, 5 * SX_MS, enq_flags);
		sx_kick_cpu(cpu, SX_KICK_IDLE);
		return;
	}
	sx_insert(p, CROWD, 5 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

static bool f21_sibling_never_crowd(s32 cpu)
{
	return !(cpu & 1) && sx_move_to_local(CROWD);
}

/* Bound tasks and the others by turns, so that neither starves the other. */
void SX_OP(f21_sibling_never_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 own = cpu & 511;

	turn[own] ^= 1;
	if (turn[own] && sx_move_to_local(OWN + cpu))
		return;
	if (f21_sibling_never_crowd(cpu))
		return;
	sx_move_to_local(OWN + cpu);
}

s32 SX_OP_SLEEPABLE(f21_sibling_never_init)
{
	u32 ids = sx_nr_cpu_ids();
	u32 i;
	s32 err;

	bpf_for(i, 0, ids) {
		err = sx_create_dsq(OWN + i);
		if (err)
			return err;
	}
	return sx_create_dsq(CROWD);
}

void SX_OP_SLEEPABLE(f21_sibling_never_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f21_sibling_never,
       .enqueue = (void *)f21_sibling_never_enqueue,
       .dispatch = (void *)f21_sibling_never_dispatch,
       .init = (void *)f21_sibling_never_init,
       .cpu_online = (void *)f21_sibling_never_cpu_online,
       .cpu_offline = (void *)f21_sibling_never_cpu_offline,
       .exit = (void *)f21_sibling_never_exit,
       .timeout_ms = 5000);
