/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables with an entry for each CPU, and which other CPU to look at. */
#ifndef SX_PRIMITIVE_CPUS_H
#define SX_PRIMITIVE_CPUS_H

#include "sx/sx.h"

/* Entries of such a table. Where CPUs have higher ids, some share one: what it says is then of the one or the other. */
#define SX_MAX_CPUS 1024

/* Masked, not only compared: the compiler may drop a comparison that the BPF verifier needs. */
#define sx_entry(table, cpu) (&(table)[(cpu) & (SX_MAX_CPUS - 1)])

/* Another than `own` of `all`, each in its time as `look` goes up; where there is no other, one that is none of them. */
static __always_inline u32 sx_another(u32 own, u32 all, u32 look)
{
	u32 others = all > 1 ? all - 1 : 1;

	return (own + 1 + look % others) % (others + 1);
}

#endif
