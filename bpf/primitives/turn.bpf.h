/* SPDX-License-Identifier: GPL-2.0-only */
/* Turns: how long the task on a CPU has had it, so that a turn is ended only after it was worth its context switch. */
#ifndef SX_PRIMITIVE_TURN_H
#define SX_PRIMITIVE_TURN_H

#include "primitives/cpus.bpf.h"
#include "sx/sx.h"

/* How long the present turn on a CPU has lasted; below 0 where its clock is ahead. `began` is a table, kept from running. */
static __always_inline s64 sx_turn_ns(const u64 *began, u32 cpu, u64 now)
{
	return now - *sx_entry(began, cpu);
}

#endif
