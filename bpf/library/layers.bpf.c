// SPDX-License-Identifier: GPL-2.0-only
/*
 * layers - rules by command name, cgroup and nice level say who is put off, who runs how long, and whose share counts
 *
 * What: Each of eight layers may name the beginning of a command name, the beginning of its cgroup's own name, and a
 *   nice level; a task belongs to the first whose rules it meets, else to none. One queue is ordered by due time, which
 *   is as far ahead as the layer is put off. A layer that has used more than its cap of all CPU time is put off until
 *   that is so no more, as long as others wait.
 * Good for: Hosts whose owner knows what is what: a server, a build and a nightly backup on one machine, each by its
 *   name or cgroup.
 * Weak at: Whatever the rules do not tell apart, and rules that are wrong; without any it is first come first served. A
 *   layer that is not put off ends nobody's turn: shorten the slices of the others. A cap is no quota: idle CPUs are
 *   given away.
 * Mechanisms: order=put-off, queues=one, place=kernel, slice=layer, preempt=none, steal=none, class=layer,
 *   guard=most_put_off_ns, admission=none
 * Workloads: batch, wakeup
 */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/layer.bpf.h"
#include "primitives/names.bpf.h"
#include "primitives/slice.bpf.h"

const volatile char layer_comm[8][16]; /* how the command names of each layer begin; empty: any */
const volatile char layer_cgroup[8][16]; /* how the own name of each layer's cgroups begins; empty: any */
const volatile s32 layer_nice[8]; /* level, -20..19: this nice or nicer; below 0: this nice or less; 0: any */
const volatile u64 layer_put_off_ns[8]; /* ns, 0..1000000000: how long each layer is put off for others */
const volatile u64 layer_slice_ns[8]; /* ns, 0..100000000: longest time on a CPU while others wait; 0: slice_ns */
const volatile u32 layer_cap[8]; /* percent, 0..100: of all CPU time, beyond which a layer is put off; 0: any */
const volatile u64 slice_ns = 10 * SX_MS; /* ns, 500000..100000000: longest time on a CPU of what is in no layer */
const volatile u64 other_put_off_ns = 0; /* ns, 0..1000000000: how long what is in no layer is put off */
const volatile u64 most_put_off_ns = 800 * SX_MS; /* ns, 10000000..1000000000: how long anything is put off, caps included */
const volatile u64 burst_ns = 100 * SX_MS; /* ns, 0..1000000000: time for which a layer may be beyond its cap */

enum layers_dsq {
	LAYERS_QUEUE = 0,
};

enum {
	LAYERS = 8,
};

struct task_ctx {
	struct sx_name name; /* what its layer was found by */
	u64 cgroup;
	u32 weight;
	u32 layer; /* LAYERS: in none */
	u64 mark; /* CPU time when it was last charged */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u64 paid_until[LAYERS]; /* when each layer will be within its cap, if it uses nothing more */
static bool by_cgroup; /* a layer names one */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(layers)

static __always_inline bool matches(const struct task_struct *p, const struct sx_name *name, const struct sx_name *cgroup,
				    u32 layer)
{
	s32 nice = layer_nice[layer], own = (s32)p->static_prio - 120;

	if (!layer_comm[layer][0] && !layer_cgroup[layer][0] && !nice)
		return false;
	if ((nice > 0 && own < nice) || (nice < 0 && own > nice))
		return false;
	return sx_begins_with(name, layer_comm[layer]) && sx_begins_with(cgroup, layer_cgroup[layer]);
}

/* Find the layer anew if the task's name, cgroup or nice level has changed. */
static __noinline int classify(struct task_struct *p, struct task_ctx *tc)
{
	struct sx_name name = sx_name_of(p), cgroup = {};
	u64 id = by_cgroup ? sx_cgroup_of(p, &cgroup) : 0;
	s32 i;

	if (sx_same_name(&name, &tc->name) && id == tc->cgroup && p->scx.weight == tc->weight)
		return 0;
	tc->name = name;
	tc->cgroup = id;
	tc->weight = p->scx.weight;
	tc->layer = LAYERS;
	bpf_for(i, 0, LAYERS) {
		if (matches(p, &name, &cgroup, i & (LAYERS - 1))) {
			tc->layer = i;
			break;
		}
	}
	return 0;
}

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		classify(p, tc);
	return tc;
}

static __always_inline void charge(const struct task_struct *p, struct task_ctx *tc)
{
	u64 used_ns = sx_cpu_time_since(p, tc->mark), now = sx_now();
	u32 layer = tc->layer & (LAYERS - 1), cap = layer_cap[layer];

	sx_mark_cpu_time(p, &tc->mark);
	if (tc->layer >= LAYERS || !cap)
		return;
	if (sx_before(paid_until[layer], now - burst_ns))
		paid_until[layer] = now - burst_ns;
	__sync_fetch_and_add(&paid_until[layer], used_ns * 100 / ((u64)cap * (cpus ?: 1)));
}

static __always_inline s64 put_off_ns(const struct task_ctx *tc)
{
	u32 layer = tc->layer & (LAYERS - 1);
	u64 put_off = other_put_off_ns, now = sx_now();

	if (tc->layer < LAYERS) {
		put_off = layer_put_off_ns[layer];
		if (layer_cap[layer] && sx_before(now, paid_until[layer]))
			put_off += paid_until[layer] - now;
	}
	return put_off < most_put_off_ns ? put_off : most_put_off_ns;
}

static __always_inline u64 turn_ns(const struct task_ctx *tc)
{
	u64 own = tc->layer < LAYERS ? layer_slice_ns[tc->layer & (LAYERS - 1)] : 0;

	return own ?: slice_ns;
}

static __always_inline bool goes_on(struct task_struct *prev, struct task_ctx *tc)
{
	charge(prev, tc);
	return sx_can_peek() && !sx_head_overdue(LAYERS_QUEUE, sx_now() + put_off_ns(tc), 0);
}

s32 SX_OP_SLEEPABLE(layers_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tc)
		return -ENOMEM;
	tc->layer = LAYERS;
	return 0;
}

s32 SX_OP(layers_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(layers_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);

	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	sx_insert_due(p, LAYERS_QUEUE, tc ? turn_ns(tc) : slice_ns, tc ? put_off_ns(tc) : 0, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(layers_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_ctx *tc = sx_wants_cpu(prev) ? ctx_of(prev) : NULL;

	if (!prev || !tc)
		sx_move_to_local(LAYERS_QUEUE);
	else if (goes_on(prev, tc) || !sx_move_to_local(LAYERS_QUEUE))
		sx_set_slice(prev, turn_ns(tc));
}

void SX_OP(layers_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);

	if (!tc)
		return;
	sx_mark_cpu_time(p, &tc->mark);
	sx_cut_slice(p, sx_bounded_slice(turn_ns(tc), sx_dsq_nr_queued(LAYERS_QUEUE), cpus));
}

void SX_OP(layers_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (tc)
		charge(p, tc);
}

void SX_OP(layers_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(LAYERS_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(layers_init)
{
	s32 i;

	bpf_for(i, 0, LAYERS)
		by_cgroup |= layer_cgroup[i & (LAYERS - 1)][0];
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(LAYERS_QUEUE);
}

void SX_OP_SLEEPABLE(layers_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(layers,
       .init_task = (void *)layers_init_task,
       .select_cpu = (void *)layers_select_cpu,
       .enqueue = (void *)layers_enqueue,
       .dispatch = (void *)layers_dispatch,
       .running = (void *)layers_running,
       .stopping = (void *)layers_stopping,
       .update_idle = (void *)layers_update_idle,
       .cpu_online = (void *)layers_cpu_online,
       .cpu_offline = (void *)layers_cpu_offline,
       .init = (void *)layers_init,
       .exit = (void *)layers_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
