// SPDX-License-Identifier: GPL-2.0-only
/* Eight queues by weight. The heaviest goes first, but every fourth turn each in its turn does, so that none is left out. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum bands_dsq {
	BANDS = 8,
};

static u64 turns;

static __always_inline u32 band_of(u32 weight)
{
	u32 band = 0;
	s32 i;

	bpf_for(i, 0, BANDS - 1)
		if (weight >> (2 * i))
			band = i;
	return band;
}

SX_EXIT_RECORD();
SX_COUNTS_CPUS(bands)

s32 SX_OP(bands_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(bands_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, band_of(p->scx.weight), 3 * SX_MS, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(bands_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 turn = __sync_fetch_and_add(&turns, 1);
	u64 first = turn % 4 ? BANDS - 1 : turn / 4 % BANDS;
	s32 i;

	bpf_for(i, 0, BANDS)
		if (sx_move_to_local((first + BANDS - i) % BANDS))
			return;
}

s32 SX_OP_SLEEPABLE(bands_init)
{
	s32 i, err;

	bpf_for(i, 0, BANDS) {
		err = sx_create_dsq(i);
		if (err)
			return err;
	}
	return 0;
}

void SX_OP_SLEEPABLE(bands_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(bands,
       .select_cpu = (void *)bands_select_cpu,
       .enqueue = (void *)bands_enqueue,
       .dispatch = (void *)bands_dispatch,
       .cpu_online = (void *)bands_cpu_online,
       .cpu_offline = (void *)bands_cpu_offline,
       .init = (void *)bands_init,
       .exit = (void *)bands_exit,
       .timeout_ms = 5000);
