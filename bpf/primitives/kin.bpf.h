/* SPDX-License-Identifier: GPL-2.0-only */
/* Families of processes, by the pid of the parent: what its children took, and whether it runs several at once. */
#ifndef SX_PRIMITIVE_KIN_H
#define SX_PRIMITIVE_KIN_H

#include "sx/sx.h"

struct sx_kin {
	u64 longest_ns; /* of its children's chains so far: CPU time of a child, and of the longest chain below it */
	s32 alive; /* its children now */
	bool wide; /* it has had several at once */
};

/* Whose child p is: a thread's, its process; else the process that forks it, which is the one at hand while it does. */
static __always_inline u32 sx_parent_of(const struct task_struct *p, bool forking)
{
	if (p->pid != p->tgid)
		return p->tgid;
	return forking ? bpf_get_current_task_btf()->tgid : p->real_parent->tgid;
}

/* A child more; whether the parent has several at once, or had. */
static __always_inline bool sx_kin_born(struct sx_kin *kin)
{
	if (__sync_fetch_and_add(&kin->alive, 1) > 0)
		kin->wide = true;
	return kin->wide;
}

static __always_inline void sx_kin_died(struct sx_kin *kin, u64 chain_ns)
{
	__sync_fetch_and_sub(&kin->alive, 1);
	if (chain_ns > kin->longest_ns)
		kin->longest_ns = chain_ns;
}

/* Two words mixed into one that is as good as unique; not secret. */
static __always_inline u64 sx_mix(u64 a, u64 b)
{
	u64 mixed = (a ^ (b << 29 | b >> 35)) * 0x9e3779b97f4a7c15ULL;

	return mixed ^ mixed >> 32;
}

#endif
