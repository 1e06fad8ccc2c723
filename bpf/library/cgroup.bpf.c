// SPDX-License-Identifier: GPL-2.0-only
/*
 * cgroup - shares by the weights of cgroups at every level, their quotas kept, and nice levels within
 *
 * What: One queue ordered by virtual time. What a task's CPU time costs goes by its share of the machine: its weight
 *   among the runnable tasks of its cgroup, times the weight of that cgroup among its siblings that want CPU, and so on
 *   up to the root. A turn of a task below a cgroup with cpu.max is booked with that cgroup before it begins, and put
 *   right afterwards; where the quota of the period is spent the turn waits for the period that can pay for it.
 * Good for: Hosts of containers: cpu.weight, cpu.max and nice keep their meaning, also for one cgroup within another.
 * Weak at: Latency of waking tasks while CPUs are busy, as with any fair share; each decision walks up the tree. A turn
 *   ends at the kernel's tick, so a cgroup can use some ms more than its quota in one period, and has them less in the
 *   next. Nobody waits longer than park_ns for a quota: one too small for its tasks is exceeded then. cpu.idle and
 *   bursts are ignored.
 * Mechanisms: order=share, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=cgroup,
 *   guard=wait_ns, admission=quota
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/alarm.bpf.h"
#include "primitives/cgroup.bpf.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/vtime.bpf.h"

const volatile u64 slice_ns = 4 * SX_MS; /* ns, 500000..50000000: longest time on a CPU while others wait */
const volatile u64 lag_ns = 20 * SX_MS; /* ns, 0..200000000: most credit a task can bring back from sleep */
const volatile u64 wait_ns = 500 * SX_MS; /* ns, 50000000..1000000000: longest wait that a small share can cause */
const volatile u64 park_ns = 1000 * SX_MS; /* ns, 10000000..1000000000: longest wait that a spent quota can cause */

enum cgroup_dsq {
	CGROUP_QUEUE = 0,
	CGROUP_PARKED = 1, /* by the time from which on their cgroups can pay */
};

struct task_ctx {
	u64 vtime;
	u64 mark; /* CPU time when it was last charged */
	u64 cgroup; /* the id of the one it is in */
	u64 counted_in; /* the id of the one whose runnable tasks it belongs to; 0 while it sleeps */
	u32 weight; /* with which it is counted there */
	u64 turn_ns; /* how long its last turn was: what the next will cost */
	u64 booked_ns; /* what was booked for the next turn */
	bool queued; /* came to its CPU through the queue */
	bool fresh; /* never queued */
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sx_group);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 clock; /* highest vtime with which a task came from the queue to a CPU; moves on by cpus ns in a ns */
static u32 cpu_ids;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(cgroup)
SX_ALARM()

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

/* One task more or fewer wants a CPU: a cgroup that so becomes active, or ceases to be, counts in its parent, and so on. */
static __noinline int count(u64 id, s64 weight)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(id);
	s32 up;

	if (!cgrp)
		return 0;
	bpf_for(up, 0, SX_CGROUP_LEVELS) {
		struct sx_group *group = sx_group_above(&groups, cgrp, up);

		if (!group)
			break;
		__sync_fetch_and_add(&group->load, weight);
		if (!sx_group_changes(group, weight > 0 ? 1 : -1))
			break;
		weight = weight > 0 ? group->weight : -(s64)group->counted;
		group->counted = weight > 0 ? weight : 0;
	}
	bpf_cgroup_release(cgrp);
	return 0;
}

/* A task's part of the machine, of SX_WHOLE. */
static __noinline u64 share_of(u64 id, u64 weight)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(id);
	u64 share = SX_WHOLE;
	s32 up;

	if (!cgrp)
		return share;
	bpf_for(up, 0, SX_CGROUP_LEVELS) {
		struct sx_group *group = sx_group_above(&groups, cgrp, up);

		if (!group)
			break;
		share = sx_group_part(share, weight, group);
		weight = group->weight;
	}
	bpf_cgroup_release(cgrp);
	return share ?: 1;
}

/* Book CPU time with every cgroup above that has a quota; from when on all can pay for it. 0 only asks. */
static __noinline u64 book(u64 id, s64 cpu_ns, u64 now)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(id);
	u64 from = now;
	s32 up;

	if (!cgrp)
		return now;
	bpf_for(up, 0, SX_CGROUP_LEVELS) {
		struct sx_group *group = sx_group_above(&groups, cgrp, up);
		u64 can_pay;

		if (!group)
			break;
		can_pay = sx_group_book(group, cpu_ns, now);
		if (sx_before(from, can_pay))
			from = can_pay;
	}
	bpf_cgroup_release(cgrp);
	return sx_before(now + park_ns, from) ? now + park_ns : from;
}

static __always_inline u64 cost(const struct task_struct *p, const struct task_ctx *tc, u64 cpu_ns)
{
	return cpu_ns * SX_WHOLE / share_of(tc->cgroup, p->scx.weight);
}

static __always_inline void charge(const struct task_struct *p, struct task_ctx *tc)
{
	u64 used_ns = sx_cpu_time_since(p, tc->mark);

	sx_mark_cpu_time(p, &tc->mark);
	tc->vtime += cost(p, tc, used_ns);
	tc->turn_ns = used_ns < slice_ns ? used_ns : slice_ns;
	book(tc->cgroup, used_ns - tc->booked_ns, sx_now());
	tc->booked_ns = 0;
}

static __always_inline s64 due_in(const struct task_ctx *tc)
{
	s64 ahead = tc->vtime - clock;

	return ahead < 0 ? -(s64)((u64)-ahead / (cpus ?: 1)) : (s64)((u64)ahead / (cpus ?: 1));
}

/* May prev go on, though its slice ended? The queue does not hold it, so it is compared with the queue's first. */
static __always_inline bool goes_on(const struct task_ctx *tc)
{
	return sx_can_peek() && !sx_head_overdue(CGROUP_QUEUE, sx_now() + due_in(tc), 0);
}

static __always_inline bool can_pay(const struct task_ctx *tc)
{
	u64 now = sx_now();

	return book(tc->cgroup, 0, now) == now;
}

static __always_inline bool parked_is_due(u64 now)
{
	return sx_can_peek() ? sx_head_overdue(CGROUP_PARKED, now + 1, 0) : sx_dsq_nr_queued(CGROUP_PARKED) > 0;
}

static int release(void *map, u32 *key, struct sx_alarm *alarm)
{
	struct task_struct *head = sx_dsq_peek(CGROUP_PARKED);
	u64 now = bpf_ktime_get_ns();

	alarm->at = 0;
	if (parked_is_due(now))
		sx_wake_all_idle(cpu_ids);
	if (head)
		sx_alarm_in(alarm, sx_before(now, head->scx.dsq_vtime) ? head->scx.dsq_vtime - now : slice_ns);
	return 0;
}

s32 SX_OP_SLEEPABLE(cgroup_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	tc->cgroup = args->cgroup->kn->id;
	tc->turn_ns = slice_ns;
	tc->fresh = true;
	return 0;
}

void SX_OP(cgroup_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc || tc->counted_in)
		return;
	tc->counted_in = tc->cgroup;
	tc->weight = p->scx.weight;
	count(tc->counted_in, tc->weight);
}

s32 SX_OP(cgroup_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *tc = ctx_of(p);

	return tc && !can_pay(tc) ? prev_cpu : sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(cgroup_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	u64 now = sx_now(), from = now;

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	if (tc) {
		if (tc->fresh) /* a slice behind: or a loop of short-lived children would always run before those that wait */
			tc->vtime = clock + cost(p, tc, slice_ns);
		tc->fresh = false;
		tc->vtime = sx_clamp_vtime(tc->vtime, clock, lag_ns, wait_ns * cpus);
		tc->queued = true;
		from = book(tc->cgroup, tc->turn_ns, now);
		tc->booked_ns = tc->turn_ns;
	}
	if (tc && sx_before(now, from)) {
		sx_insert_vtime(p, CGROUP_PARKED, slice_ns, from, enq_flags);
		sx_alarm_in(sx_alarm(), from - now);
		return;
	}
	if (enq_flags & SX_ENQ_LAST) { /* nobody else is here, and its quota was renewed since dispatch looked */
		sx_insert(p, SX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}
	sx_insert_due(p, CGROUP_QUEUE, slice_ns, tc ? due_in(tc) : 0, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(cgroup_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_ctx *tc = sx_wants_cpu(prev) ? ctx_of(prev) : NULL;
	bool stays = false;

	if (tc) {
		charge(prev, tc);
		stays = can_pay(tc);
	}
	if (parked_is_due(sx_now()) && sx_move_to_local(CGROUP_PARKED))
		return;
	if ((!(stays && goes_on(tc)) && sx_move_to_local(CGROUP_QUEUE)) || !stays || !prev)
		return;
	sx_set_slice(prev, slice_ns);
}

void SX_OP(cgroup_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	/* A task placed on an idle CPU competed with nobody: its vtime says nothing of the queue's. */
	if (tc->queued)
		sx_advance_vtime(&clock, tc->vtime);
	tc->queued = false;
	sx_mark_cpu_time(p, &tc->mark);
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(CGROUP_QUEUE), cpus));
}

void SX_OP(cgroup_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		charge(p, tc);
}

void SX_OP(cgroup_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc || !tc->counted_in)
		return;
	if (tc->booked_ns) /* taken out of the queue before it ran */
		book(tc->cgroup, -(s64)tc->booked_ns, sx_now());
	tc->booked_ns = 0;
	count(tc->counted_in, -(s64)tc->weight);
	tc->counted_in = 0;
}

void SX_OP(cgroup_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(CGROUP_QUEUE) > 0 || (idle && parked_is_due(sx_now())));
}

s32 SX_OP_SLEEPABLE(cgroup_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct sx_group *group = bpf_cgrp_storage_get(&groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!group)
		return -ENOMEM;
	group->weight = args->weight;
	if (bpf_core_field_exists(args->bw_quota_us))
		sx_group_set_quota(group, args->bw_period_us, args->bw_quota_us);
	return 0;
}

void SX_OP(cgroup_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc)
		tc->cgroup = to->kn->id;
}

void SX_OP(cgroup_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct sx_group *group = sx_group_above(&groups, cgrp, 0), *parent = sx_group_above(&groups, cgrp, 1);

	if (!group)
		return;
	if (parent && group->counted) {
		__sync_fetch_and_add(&parent->load, (s64)weight - group->counted);
		group->counted = weight;
	}
	group->weight = weight;
}

void SX_OP(cgroup_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us)
{
	struct sx_group *group = sx_group_above(&groups, cgrp, 0);

	if (group)
		sx_group_set_quota(group, period_us, quota_us);
}

s32 SX_OP_SLEEPABLE(cgroup_init)
{
	struct sx_alarm *alarm = sx_alarm();
	s32 err = sx_create_dsq(CGROUP_QUEUE);

	if (!alarm)
		return -EINVAL;
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	bpf_timer_init(&alarm->timer, &sx_alarms, SX_CLOCK_MONOTONIC);
	bpf_timer_set_callback(&alarm->timer, release);
	return err ?: sx_create_dsq(CGROUP_PARKED);
}

void SX_OP_SLEEPABLE(cgroup_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(cgroup,
       .init_task = (void *)cgroup_init_task,
       .runnable = (void *)cgroup_runnable,
       .select_cpu = (void *)cgroup_select_cpu,
       .enqueue = (void *)cgroup_enqueue,
       .dispatch = (void *)cgroup_dispatch,
       .running = (void *)cgroup_running,
       .stopping = (void *)cgroup_stopping,
       .quiescent = (void *)cgroup_quiescent,
       .update_idle = (void *)cgroup_update_idle,
       .cgroup_init = (void *)cgroup_cgroup_init,
       .cgroup_move = (void *)cgroup_cgroup_move,
       .cgroup_set_weight = (void *)cgroup_cgroup_set_weight,
       .cgroup_set_bandwidth = (void *)cgroup_cgroup_set_bandwidth,
       .cpu_online = (void *)cgroup_cpu_online,
       .cpu_offline = (void *)cgroup_cpu_offline,
       .init = (void *)cgroup_init,
       .exit = (void *)cgroup_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE | SCX_OPS_ENQ_LAST, /* a CPU's last task must wait, too, when its quota is spent */
       .timeout_ms = 5000);
