/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One timer for the whole policy: for what must happen although no CPU has a reason to look. It is off while nobody needs
 * it, so an idle machine is not woken. It is started with the run queue locked, since it only queues itself (tried on 7.3).
 */
#ifndef SX_PRIMITIVE_ALARM_H
#define SX_PRIMITIVE_ALARM_H

#include "sx/sx.h"

#define SX_CLOCK_MONOTONIC 1 /* a macro of the kernel's, so it is in no BTF */

struct sx_alarm {
	struct bpf_timer timer;
	u64 at; /* when it goes off; 0 if it is off */
};

/* The map that holds it, and sx_alarm() to find it; once per policy. */
#define SX_ALARM()                                                                                                     \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, 1);                                                                                \
		__type(key, u32);                                                                                      \
		__type(value, struct sx_alarm);                                                                        \
	} sx_alarms SEC(".maps");                                                                                      \
	static __always_inline struct sx_alarm *sx_alarm(void)                                                         \
	{                                                                                                              \
		u32 key = 0;                                                                                           \
		return bpf_map_lookup_elem(&sx_alarms, &key);                                                          \
	}

/* Go off in_ns from now, unless it does so earlier anyway. */
static __always_inline void sx_alarm_in(struct sx_alarm *alarm, u64 in_ns)
{
	u64 at = bpf_ktime_get_ns() + in_ns;

	if (!alarm || (alarm->at && !sx_before(at, alarm->at)))
		return;
	alarm->at = at;
	bpf_timer_start(&alarm->timer, in_ns, 0);
}

/* Wake every idle CPU, so that each looks once more for work that has become due. */
static __always_inline void sx_wake_all_idle(u32 cpu_ids)
{
	s32 cpu;

	bpf_for(cpu, 0, (s32)cpu_ids)
		sx_kick_cpu(cpu, SX_KICK_IDLE);
}

#endif
