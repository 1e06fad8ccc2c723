/* SPDX-License-Identifier: GPL-2.0-only */
/* Tasks known by their command name (p->comm), compared as two words so that sixteen names cost little. */
#ifndef SX_PRIMITIVE_NAMES_H
#define SX_PRIMITIVE_NAMES_H

#include "sx/sx.h"

#define SX_NAMES_MAX 16

/* A command name, zero-padded as the kernel keeps it. */
struct sx_name {
	u64 word[2];
};

/* The name p has now: it changes after fork, by exec or prctl, so read it when it is needed. */
static __always_inline struct sx_name sx_name_of(const struct task_struct *p)
{
	struct sx_name name = {};

	bpf_probe_read_kernel(&name, sizeof(name), &p->comm);
	return name;
}

static __always_inline bool sx_same_name(const struct sx_name *a, const struct sx_name *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1];
}

/* The index of a name in a knob `char names[SX_NAMES_MAX][16]`, or -1; the list ends at its first empty name. */
static __always_inline s32 sx_find_name(const volatile char (*names)[16], const struct sx_name *name)
{
	s32 i;

	bpf_for(i, 0, SX_NAMES_MAX) {
		const volatile u64 *word;

		if (i < 0 || i >= SX_NAMES_MAX) /* tells the verifier what bpf_for guarantees */
			break;
		word = (const volatile u64 *)names[i];
		if (!word[0])
			break;
		if (word[0] == name->word[0] && word[1] == name->word[1])
			return i;
	}
	return -1;
}

#endif
