/* SPDX-License-Identifier: GPL-2.0-only */
/* Turns: how long the task on a CPU has had it, so that a turn is ended only after it was worth its context switch. */
#ifndef SX_PRIMITIVE_TURN_H
#define SX_PRIMITIVE_TURN_H

#include "primitives/cpus.bpf.h"
#include "sx/sx.h"

/* How long the present turn on a CPU has lasted, if p may run there, else 0. `began` is a table, kept from running. */
static __always_inline u64 sx_turn_ns(const struct task_struct *p, const u64 *began, u32 cpu, u64 now)
{
	u64 at = *sx_entry(began, cpu);

	return sx_can_run_on(p, cpu) && sx_before(at, now) ? now - at : 0; /* another CPU's clock can be ahead */
}

#endif
