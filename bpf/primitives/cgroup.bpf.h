/* SPDX-License-Identifier: GPL-2.0-only */
/* Cgroups as a tree of weights and quotas: what each level gives to the next, and what may be used in a period. */
#ifndef SX_PRIMITIVE_CGROUP_H
#define SX_PRIMITIVE_CGROUP_H

#include "sx/sx.h"

#define SX_CGROUP_LEVELS 12 /* of a deeper tree the upper levels are ignored */
#define SX_WHOLE (1ULL << 30)

struct cgroup *bpf_cgroup_from_id(u64 id) __ksym;
struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) __ksym;
void bpf_cgroup_release(struct cgroup *cgrp) __ksym;

/* One cgroup, in its local storage. */
struct sx_group {
	u32 weight;
	u32 counted; /* with which it is counted in its parent; 0 if it is not active */
	s64 load; /* sum of the weights of its runnable tasks and of its active children */
	s32 members; /* how many these are */
	u64 quota_ns; /* CPU time in a period; 0: no limit */
	u64 period_ns;
	u64 period_began;
	s64 booked_ns; /* CPU time used and promised, less the quota of all periods that are over */
};

/* The record `up` levels above a cgroup, 0 for its own; NULL above the root. It is valid until the callback ends. */
#define sx_group_above(map, cgrp, up)                                                                                  \
	({                                                                                                             \
		int sx_level = (cgrp)->level - (up);                                                                   \
		struct cgroup *sx_above = sx_level < 0 ? NULL : bpf_cgroup_ancestor(cgrp, sx_level);                   \
		struct sx_group *sx_found = NULL;                                                                      \
		if (sx_above) {                                                                                        \
			sx_found = bpf_cgrp_storage_get(map, sx_above, 0, 0);                                          \
			bpf_cgroup_release(sx_above);                                                                  \
		}                                                                                                      \
		sx_found;                                                                                              \
	})

/* One member more or fewer (by: 1 or -1): whether the group has become active by that, or ceased to be. */
static __always_inline bool sx_group_changes(struct sx_group *group, s32 by)
{
	s32 before = __sync_fetch_and_add(&group->members, by);

	return by > 0 ? before == 0 : before == 1;
}

/* What a member of this weight gets of what the group gets; all, where it is the only one that is counted. */
static __always_inline u64 sx_group_part(u64 share, u64 weight, const struct sx_group *group)
{
	s64 load = group->load;

	return load > (s64)weight ? share * weight / (u64)load : share;
}

static __always_inline void sx_group_set_quota(struct sx_group *group, u64 period_us, u64 quota_us)
{
	bool limited = period_us && quota_us && quota_us < 1000 * period_us; /* "max" is all ones */

	group->period_ns = period_us * SX_US;
	group->period_began = sx_now();
	group->booked_ns = 0;
	group->quota_ns = limited ? quota_us * SX_US : 0;
}

/*
 * Book CPU time (below 0: give some back) with a group: from when on it can be used, which is `now` while the quota lasts,
 * else the beginning of the period that has some left. What was used beyond the quota is owed in the next periods.
 */
static __always_inline u64 sx_group_book(struct sx_group *group, s64 cpu_ns, u64 now)
{
	u64 quota = group->quota_ns, period = group->period_ns, began = group->period_began, over;
	s64 booked;

	if (!quota || !period)
		return now;
	over = sx_before(began, now) ? (now - began) / period : 0;
	if (over && __sync_val_compare_and_swap(&group->period_began, began, began + over * period) == began) {
		s64 paid = group->booked_ns, most = over * quota;

		__sync_fetch_and_sub(&group->booked_ns, paid > most ? most : paid);
	}
	booked = group->booked_ns;
	__sync_fetch_and_add(&group->booked_ns, cpu_ns);
	if (booked < (s64)quota)
		return now;
	return group->period_began + ((u64)booked / quota) * period;
}

#endif
