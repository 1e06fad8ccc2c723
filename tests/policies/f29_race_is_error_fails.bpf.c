// fails: survive: is gone
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/* Remembers who last woke somebody, to run it next; that it may have ended meanwhile is taken for a failure. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f29_race_dsq {
	QUEUE = 0,
};

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

static s32 waker;
static u64 alive;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f29_race)

s32 SX_OP(f29_race_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f29_race_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & SX_ENQ_WAKEUP)
		waker = bpf_get_current_task_btf()->pid;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f29_race_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 pid = waker;
	struct task_struct *p = pid ? bpf_task_from_pid(pid) : NULL;

	if (p) {
		alive++;
		bpf_task_release(p);
	} else if (pid) {
		sx_error("task %d is gone", pid);
	}
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f29_race_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f29_race_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_race,
       .select_cpu = (void *)f29_race_select_cpu,
       .enqueue = (void *)f29_race_enqueue,
       .dispatch = (void *)f29_race_dispatch,
       .cpu_online = (void *)f29_race_cpu_online,
       .cpu_offline = (void *)f29_race_cpu_offline,
       .init = (void *)f29_race_init,
       .exit = (void *)f29_race_exit,
       .timeout_ms = 5000);
