/* SPDX-License-Identifier: GPL-2.0-only */
/* What rules about tasks go by: beginnings of names, and the name of the cgroup. */
#ifndef SX_PRIMITIVE_LAYER_H
#define SX_PRIMITIVE_LAYER_H

#include "primitives/names.bpf.h"
#include "sx/sx.h"

struct cgroup *scx_bpf_task_cgroup___sx(struct task_struct *p) __ksym __weak;
void bpf_cgroup_release___sx(struct cgroup *cgrp) __ksym __weak;

/* Does a name begin with this? With an empty beginning every name does. */
static __always_inline bool sx_begins_with(const struct sx_name *name, const volatile char *beginning)
{
	const char *letters = (const char *)name;
	s32 i;

	bpf_for(i, 0, 15) {
		char wanted = beginning[i & 15];

		if (!wanted)
			break;
		if (letters[i & 15] != wanted)
			return false;
	}
	return true;
}

/* The id of p's cgroup, and the first 15 letters of its own name; 0 where the kernel does not say. From callbacks of p's. */
static __always_inline u64 sx_cgroup_of(struct task_struct *p, struct sx_name *name)
{
	struct cgroup *cgrp;
	u64 id;

	if (!bpf_ksym_exists(scx_bpf_task_cgroup___sx))
		return 0;
	cgrp = scx_bpf_task_cgroup___sx(p);
	if (!cgrp)
		return 0;
	id = cgrp->kn->id;
	bpf_probe_read_kernel_str(name, sizeof(*name), cgrp->kn->name);
	bpf_cgroup_release___sx(cgrp);
	return id;
}

#endif
