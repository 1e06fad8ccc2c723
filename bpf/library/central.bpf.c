// SPDX-License-Identifier: GPL-2.0-only
/*
 * central - long turns while nobody waits; when somebody does, one timer ends those that have lasted long enough
 *
 * What: One queue, first come first served. Where nobody waits as a turn begins it has long_slice_ns, else slice_ns.
 *   Who finds no idle CPU sets a timer; when that goes off, one CPU looks at all and ends as many turns that have
 *   lasted slice_ns as tasks wait, and sets it again while any does. Kernel threads bound to a CPU end the turn there
 *   when they wake.
 * Good for: Batches and virtual machines that compute for long and must not be interrupted without need.
 * Weak at: Latency of waking tasks while CPUs are busy, which is slice_ns and the queue before them; the decisions fall
 *   on the one CPU that has the timer. No turn is endless, since the kernel puts some tasks (exiting ones, those that
 *   must not migrate) into a CPU's own queue without asking: so nohz_full stops no tick. Nice levels are ignored.
 * Mechanisms: order=fifo, queues=one, place=kernel, slice=long, preempt=timer, steal=none, class=none, guard=round,
 *   admission=none
 * Workloads: batch
 */
#include "sx/sx.h"
#include "primitives/alarm.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/kthread.bpf.h"
#include "primitives/slice.bpf.h"

const volatile u64 slice_ns = 20 * SX_MS; /* ns, 500000..200000000: how long a turn lasts while others wait */
const volatile u64 long_slice_ns = 400 * SX_MS; /* ns, 20000000..1000000000: how long a turn lasts while nobody waits */

enum central_dsq {
	CENTRAL_QUEUE = 0,
};

enum {
	MAX_CPUS = 1024, /* with more, some share an entry: a turn then ends early or late, no more */
};

static u64 turn_began[MAX_CPUS]; /* 0: no turn that is to be ended */
static u32 cpu_ids;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(central)
SX_ALARM()

static __always_inline u64 *turn_began_on(u32 cpu)
{
	return &turn_began[cpu & (MAX_CPUS - 1)];
}

static __always_inline u64 turn_ns(void)
{
	return sx_bounded_slice(slice_ns, sx_dsq_nr_queued(CENTRAL_QUEUE), cpus);
}

/* End as many turns that have lasted long enough as tasks wait, and look again when the next is over. */
static int end_turns(void *map, u32 *key, struct sx_alarm *alarm)
{
	s32 waiting = sx_dsq_nr_queued(CENTRAL_QUEUE), ended = 0, i;
	u64 now = bpf_ktime_get_ns(), turn = turn_ns(), next = turn;

	alarm->at = 0;
	if (waiting <= 0)
		return 0;
	bpf_for(i, 0, (s32)cpu_ids) {
		u64 began = *turn_began_on(i), lasted = began && sx_before(began, now) ? now - began : 0;

		if (!began)
			continue;
		if (lasted < turn) {
			if (turn - lasted < next)
				next = turn - lasted;
		} else if (ended < waiting) {
			sx_kick_cpu(i, SX_KICK_PREEMPT);
			ended++;
		}
	}
	sx_alarm_in(alarm, next > 100 * SX_US ? next : 100 * SX_US);
	return 0;
}

/* Long while nobody waits; else of so many ns, and long turns elsewhere are looked at, too. */
static __always_inline void begin_turn(struct task_struct *p, u32 cpu, u64 ns)
{
	bool waited_for = sx_dsq_nr_queued(CENTRAL_QUEUE) > 0;

	*turn_began_on(cpu) = sx_now();
	sx_set_slice(p, waited_for ? ns : long_slice_ns);
	if (waited_for)
		sx_alarm_in(sx_alarm(), turn_ns());
}

s32 SX_OP(central_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(central_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (sx_insert_woken_kthread(p, slice_ns, enq_flags | SX_ENQ_PREEMPT))
		return;
	sx_insert(p, CENTRAL_QUEUE, slice_ns, enq_flags);
	if (!sx_wake_idle_cpu_for(p))
		sx_alarm_in(sx_alarm(), turn_ns());
}

void SX_OP(central_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!sx_move_to_local(CENTRAL_QUEUE) && sx_wants_cpu(prev))
		begin_turn(prev, cpu, slice_ns);
}

void SX_OP(central_running, struct task_struct *p)
{
	u64 left = p->scx.slice;

	begin_turn(p, sx_task_cpu(p), left < turn_ns() ? left : turn_ns());
}

void SX_OP(central_stopping, struct task_struct *p, bool runnable)
{
	*turn_began_on(sx_task_cpu(p)) = 0;
}

void SX_OP(central_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(CENTRAL_QUEUE) > 0);
}

s32 SX_OP_SLEEPABLE(central_init)
{
	struct sx_alarm *alarm = sx_alarm();

	if (!alarm)
		return -EINVAL;
	cpus = sx_nr_online_cpus();
	cpu_ids = sx_nr_cpu_ids();
	bpf_timer_init(&alarm->timer, &sx_alarms, SX_CLOCK_MONOTONIC);
	bpf_timer_set_callback(&alarm->timer, end_turns);
	return sx_create_dsq(CENTRAL_QUEUE);
}

void SX_OP_SLEEPABLE(central_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(central,
       .select_cpu = (void *)central_select_cpu,
       .enqueue = (void *)central_enqueue,
       .dispatch = (void *)central_dispatch,
       .running = (void *)central_running,
       .stopping = (void *)central_stopping,
       .update_idle = (void *)central_update_idle,
       .cpu_online = (void *)central_cpu_online,
       .cpu_offline = (void *)central_cpu_offline,
       .init = (void *)central_init,
       .exit = (void *)central_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
