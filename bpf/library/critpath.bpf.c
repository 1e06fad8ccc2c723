// SPDX-License-Identifier: GPL-2.0-only
/*
 * critpath - what the longest chain of processes hangs on goes first, learned from the fork tree while it runs
 *
 * What: A process's chain is its own CPU time and the longest chain among its children. Chains are remembered by kind,
 *   the parent's name and one's own, as processes end. One queue is ordered by due time: the kind with the longest
 *   chain left is due at once, shorter ones are put off the more, up to aging_ns, kinds not seen yet by half. The only
 *   child of a parent is as urgent as that one, which waits for it. Who wakes for a short burst is due before all.
 * Good for: Builds and other trees of processes that are repeated or have many processes of a kind: the long steps
 *   begin early and are not last alone.
 * Weak at: Trees whose long steps have the name of the short ones, as compilations of different files have: nothing
 *   tells them apart before they end. Mean completion time of short steps. Nice levels are ignored.
 * Mechanisms: order=chain, queues=one, place=kernel, slice=bounded, preempt=none, steal=none, class=woken,
 *   guard=aging_ns, admission=none
 * Workloads: kernel-build, batch
 */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kin.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/names.bpf.h"
#include "primitives/slice.bpf.h"

const volatile u64 slice_ns = 10 * SX_MS; /* ns, 1000000..100000000: how often it is reconsidered who runs */
const volatile u64 aging_ns = 300 * SX_MS; /* ns, 10000000..1000000000: longest a short chain is put off for longer ones */
const volatile u64 burst_ns = 2 * SX_MS; /* ns, 100000..50000000: who has used less since it woke is due before all */

enum critpath_dsq {
	CRITPATH_QUEUE = 0,
};

enum {
	KINDS = 4096,
	PARENTS = 16384,
};

struct task_ctx {
	struct sx_name name; /* the name that `kind` was made from */
	u64 parent_name;
	u64 kind;
	u32 parent; /* pid */
	u64 kind_mark; /* CPU time when it took this name */
	u64 wake_mark; /* CPU time when it last woke */
	u64 inherited_ns; /* the chain left to the parent that waits for it, when it was forked */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, KINDS);
	__type(key, u64);
	__type(value, u64); /* ns */
} chains SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PARENTS);
	__type(key, u32);
	__type(value, struct sx_kin);
} kins SEC(".maps");

static u64 longest_ns; /* the longest chain of a kind; a shorter one makes it shrink slowly */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(critpath)

/* The task's record, brought up to date with the name it has now: exec changes it after fork. */
static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	struct sx_name name = sx_name_of(p);

	if (tc && !sx_same_name(&tc->name, &name)) {
		tc->name = name;
		tc->kind = sx_mix(sx_mix(name.word[0], name.word[1]), tc->parent_name);
		sx_mark_cpu_time(p, &tc->kind_mark);
	}
	return tc;
}

static __always_inline struct sx_kin *kin_of(u32 pid)
{
	struct sx_kin none = {};
	struct sx_kin *kin = bpf_map_lookup_elem(&kins, &pid);

	if (kin)
		return kin;
	bpf_map_update_elem(&kins, &pid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&kins, &pid);
}

/* What is left of the longest chain below it, by its kind; half of the longest where the kind is not known. */
static __always_inline u64 chain_left(const struct task_struct *p, const struct task_ctx *tc)
{
	u64 *chain = bpf_map_lookup_elem(&chains, &tc->kind), used = sx_cpu_time_since(p, tc->kind_mark);
	u64 expected = chain ? *chain : longest_ns / 2, left = expected > used ? expected - used : 0;

	return left > tc->inherited_ns ? left : tc->inherited_ns;
}

/* Chains grow at once to the longest seen of their kind and shrink by an eighth of the difference. */
static __always_inline void learn(u64 kind, u64 chain_ns)
{
	u64 *known = bpf_map_lookup_elem(&chains, &kind);

	if (!known)
		bpf_map_update_elem(&chains, &kind, &chain_ns, BPF_ANY);
	else if (chain_ns > *known)
		*known = chain_ns;
	else
		*known -= (*known - chain_ns) / 8;
	if (chain_ns > longest_ns)
		longest_ns = chain_ns;
	else
		longest_ns -= longest_ns / 65536;
}

static __always_inline s64 put_off_ns(const struct task_struct *p, const struct task_ctx *tc)
{
	u64 left = chain_left(p, tc), longest = longest_ns;

	if (sx_cpu_time_since(p, tc->wake_mark) < burst_ns)
		return -(s64)aging_ns;
	if (!longest || left >= longest)
		return 0;
	return aging_ns * (1024 - left * 1024 / longest) / 1024;
}

static __always_inline bool goes_on(struct task_struct *prev)
{
	struct task_ctx *tc = ctx_of(prev);

	return tc && sx_can_peek() && !sx_head_overdue(CRITPATH_QUEUE, sx_now() + put_off_ns(prev, tc), 0);
}

s32 SX_OP_SLEEPABLE(critpath_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct task_struct *forker = bpf_get_current_task_btf();
	struct task_ctx *of_parent;
	struct sx_kin *kin;

	if (!tc)
		return -ENOMEM;
	tc->parent = sx_parent_of(p, args->fork);
	if (!args->fork)
		return 0;
	tc->parent_name = sx_name_of(forker).word[0];
	sx_mark_cpu_time(p, &tc->kind_mark);
	of_parent = bpf_task_storage_get(&tasks, forker, 0, 0);
	kin = kin_of(tc->parent);
	if (kin && !sx_kin_born(kin) && of_parent)
		tc->inherited_ns = chain_left(forker, of_parent);
	return 0;
}

void SX_OP(critpath_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (tc && (enq_flags & SX_ENQ_WAKEUP))
		sx_mark_cpu_time(p, &tc->wake_mark);
}

s32 SX_OP(critpath_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(critpath_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, CRITPATH_QUEUE, slice_ns, tc ? put_off_ns(p, tc) : 0, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(critpath_dispatch, s32 cpu, struct task_struct *prev)
{
	bool prev_waits = sx_wants_cpu(prev);

	if ((prev_waits && goes_on(prev)) || (!sx_move_to_local(CRITPATH_QUEUE) && prev_waits))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(critpath_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(CRITPATH_QUEUE), cpus));
}

/* Its children have ended before it, or their chains do not count: nobody waited for them. */
void SX_OP(critpath_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	struct sx_kin *own, *parents;
	u32 pid = p->pid;
	u64 chain_ns;

	if (!tc || args->cancelled)
		return;
	chain_ns = sx_cpu_time_since(p, tc->kind_mark);
	own = bpf_map_lookup_elem(&kins, &pid);
	if (own)
		chain_ns += own->longest_ns;
	bpf_map_delete_elem(&kins, &pid);
	learn(tc->kind, chain_ns);
	parents = bpf_map_lookup_elem(&kins, &tc->parent);
	if (parents)
		sx_kin_died(parents, chain_ns);
}

void SX_OP(critpath_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(CRITPATH_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(critpath_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(CRITPATH_QUEUE);
}

void SX_OP_SLEEPABLE(critpath_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(critpath,
       .init_task = (void *)critpath_init_task,
       .exit_task = (void *)critpath_exit_task,
       .runnable = (void *)critpath_runnable,
       .select_cpu = (void *)critpath_select_cpu,
       .enqueue = (void *)critpath_enqueue,
       .dispatch = (void *)critpath_dispatch,
       .running = (void *)critpath_running,
       .update_idle = (void *)critpath_update_idle,
       .cpu_online = (void *)critpath_cpu_online,
       .cpu_offline = (void *)critpath_cpu_offline,
       .init = (void *)critpath_init,
       .exit = (void *)critpath_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
