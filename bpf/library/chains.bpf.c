// SPDX-License-Identifier: GPL-2.0-only
/*
 * chains - who was woken runs next where its waker runs, since that one is about to wait for it
 *
 * What: A task that another wakes is due chain_ns early in a queue of the waker's CPU; all others queue in one for the
 *   whole machine, by time of arrival. A CPU takes whichever of the two queues' first tasks is due earlier, and one
 *   without work takes from other CPUs' too. Where the waker says that it is about to sleep, the woken one is not sent
 *   to an idle CPU.
 * Good for: Pipelines and request-reply between processes: the data is warm in the cache, and the next in the chain
 *   runs as soon as the one before it sleeps, however many others wait.
 * Weak at: Tasks that wake many and go on running: those wait for them, or are taken by idle CPUs later than they could
 *   be. CPU-bound tasks beside busy chains get their turns later by up to chain_ns. Nice levels are ignored.
 * Mechanisms: order=fifo, queues=cpu, place=waker, slice=bounded, preempt=none, steal=any, class=chained,
 *   guard=chain_ns, admission=none
 * Workloads: schbench
 */
#include "sx/sx.h"
#include "primitives/due.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"
#include "primitives/steal.bpf.h"

const volatile u64 slice_ns = 5 * SX_MS; /* ns, 500000..100000000: longest time on a CPU while others wait */
const volatile u64 chain_ns = 20 * SX_MS; /* ns, 0..500000000: how long those woken in a chain may pass those that wait */
const volatile bool sync_stays = true; /* one woken by a task that is about to sleep stays on its CPU, though others idle */

enum chains_dsq {
	CHAINS_NEXT = 0, /* the chain of CPU n is CHAINS_NEXT + n */
	CHAINS_QUEUE = 4096,
};

enum {
	MAX_CPUS = 1024,
};

struct task_ctx {
	bool chained; /* its waker is a task, on the CPU that it was sent to */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

static u32 queues;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(chains)

static __always_inline struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

/* Is the chain's first due before the queue's? Without a look at them, the chain goes first every second time. */
static __always_inline bool chain_is_first(u32 cpu)
{
	struct task_struct *chained = sx_dsq_peek(CHAINS_NEXT + cpu), *other = sx_dsq_peek(CHAINS_QUEUE);

	if (!sx_can_peek())
		return bpf_get_prandom_u32() % 2;
	return chained && (!other || sx_before(chained->scx.dsq_vtime, other->scx.dsq_vtime));
}

s32 SX_OP_SLEEPABLE(chains_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

s32 SX_OP(chains_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 waker = bpf_get_smp_processor_id(), cpu;
	bool sync = (wake_flags & SCX_WAKE_SYNC) && sync_stays;
	struct task_ctx *tc = ctx_of(p);

	if (!tc || (wake_flags & SCX_WAKE_FORK) || !sx_can_run_on(p, waker))
		return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
	if (!sync) {
		bool idle = false;

		cpu = sx_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
		if (idle) {
			sx_insert(p, SX_DSQ_LOCAL, slice_ns, 0);
			return cpu;
		}
	}
	tc->chained = true;
	return waker;
}

void SX_OP(chains_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tc = ctx_of(p);
	bool chained = tc && tc->chained;

	if (tc)
		tc->chained = false;
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags))
		return;
	if (chained)
		sx_insert_due(p, CHAINS_NEXT + sx_task_cpu(p), slice_ns, -(s64)chain_ns, enq_flags);
	else
		sx_insert_due(p, CHAINS_QUEUE, slice_ns, 0, enq_flags);
	if (!chained || !sync_stays)
		sx_wake_idle_cpu_for(p);
}

void SX_OP(chains_dispatch, s32 cpu, struct task_struct *prev)
{
	if (chain_is_first(cpu) && sx_move_to_local(CHAINS_NEXT + cpu))
		return;
	if (sx_move_to_local(CHAINS_QUEUE) || sx_move_to_local(CHAINS_NEXT + cpu) || sx_steal_any(cpu, queues))
		return;
	if (sx_wants_cpu(prev))
		sx_set_slice(prev, slice_ns);
}

void SX_OP(chains_running, struct task_struct *p)
{
	s32 waiting = sx_dsq_nr_queued(CHAINS_QUEUE) + (s32)cpus * sx_dsq_nr_queued(CHAINS_NEXT + sx_task_cpu(p));

	sx_cut_slice(p, sx_bounded_slice(slice_ns, waiting, cpus));
}

void SX_OP(chains_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, idle && (sx_dsq_nr_queued(CHAINS_QUEUE) > 0 || sx_any_queued(queues)));
}

s32 SX_OP_SLEEPABLE(chains_init)
{
	s32 queue, err;

	cpus = sx_nr_online_cpus();
	queues = sx_nr_cpu_ids();
	if (queues > MAX_CPUS)
		return -E2BIG;
	bpf_for(queue, 0, (s32)queues) {
		err = sx_create_dsq(CHAINS_NEXT + queue);
		if (err)
			return err;
	}
	return sx_create_dsq(CHAINS_QUEUE);
}

void SX_OP_SLEEPABLE(chains_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(chains,
       .init_task = (void *)chains_init_task,
       .select_cpu = (void *)chains_select_cpu,
       .enqueue = (void *)chains_enqueue,
       .dispatch = (void *)chains_dispatch,
       .running = (void *)chains_running,
       .update_idle = (void *)chains_update_idle,
       .cpu_online = (void *)chains_cpu_online,
       .cpu_offline = (void *)chains_cpu_offline,
       .init = (void *)chains_init,
       .exit = (void *)chains_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
