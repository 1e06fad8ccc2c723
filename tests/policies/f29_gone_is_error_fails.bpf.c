// fails: survive: no such task
// bug: F29
// SPDX-License-Identifier: GPL-2.0-only
/* Keeps waiting tasks by pid, and takes a number that leads to nobody, whose task was killed meanwhile, for a failure. */
#include "sx/sx.h"
#include "primitives/cputime.bpf.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum f29_gone_dsq {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} waiting SEC(".maps");

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
u32 scx_bpf_dispatch_nr_slots(void) __ksym;

static u32 cpus;

struct task_ctx {
	u64 mark; /* CPU time when it last started to run */
	u64 used; /* CPU time since then */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

SX_EXIT_RECORD();

static __always_inline struct task_ctx *ctx_of(const struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, (struct task_struct *)p, 0, 0);
}

s32 SX_OP_SLEEPABLE(f29_gone_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!tc) {
		return -ENOMEM;
	}
	return 0;
}

s32 SX_OP(f29_gone_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = sx_pick_idle_cpu(p->cpus_ptr, SX_PICK_IDLE_CORE);
	if (cpu < 0) {
		cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	}
	if (cpu < 0) {
		return prev_cpu;
	}
	sx_insert(p, SX_DSQ_LOCAL, 2 * SX_MS, 0);
	return cpu;
}

void SX_OP(f29_gone_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;
	if (bpf_map_push_elem(&waiting, &pid, 0)) {
		sx_insert(p, QUEUE, 2 * SX_MS, enq_flags);
	}
	s32 idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, SX_PICK_IDLE_CORE);
	if (idle_cpu < 0) {
		idle_cpu = sx_pick_idle_cpu(p->cpus_ptr, 0);
	}
	if (idle_cpu >= 0) {
		sx_kick_cpu(idle_cpu, SX_KICK_IDLE);
	}
}

void SX_OP(f29_gone_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;
	bpf_for(i, 0, 16) {
		if (!scx_bpf_dispatch_nr_slots()) {
			break;
		}
		if (bpf_map_pop_elem(&waiting, &pid)) {
			break;
		}
		p = bpf_task_from_pid(pid);
		if (!p) {
			sx_error("no such task");
			continue;
		}
		sx_insert(p, QUEUE, 2 * SX_MS, 0);
		if (!bpf_cpumask_test_cpu___sx(cpu, p->cpus_ptr)) {
			sx_kick_cpu(sx_task_cpu(p), SX_KICK_IDLE);
		}
		bpf_task_release(p);
	}
	if (sx_move_to_local(QUEUE)) {
		return;
	}
	if (sx_wants_cpu(prev)) {
		sx_set_slice(prev, 2 * SX_MS);
	}
}

void SX_OP(f29_gone_running, struct task_struct *p)
{
	struct task_ctx *tc = ctx_of(p);
	if (tc) {
		sx_mark_cpu_time(p, &tc->mark);
	}
}

void SX_OP(f29_gone_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tc = ctx_of(p);
	if (tc) {
		tc->used += sx_cpu_time_since(p, tc->mark);
	}
}

void SX_OP(f29_gone_update_idle, s32 cpu, bool idle)
{
	sx_recheck_before_idle(cpu, idle, sx_dsq_nr_queued(QUEUE) > 0);
}

void SX_OP_SLEEPABLE(f29_gone_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&cpus, 1);
}

void SX_OP_SLEEPABLE(f29_gone_cpu_offline, s32 cpu)
{
	__sync_fetch_and_add(&cpus, -1);
}

s32 SX_OP_SLEEPABLE(f29_gone_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f29_gone_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f29_gone,
       .init_task = (void *)f29_gone_init_task,
       .select_cpu = (void *)f29_gone_select_cpu,
       .enqueue = (void *)f29_gone_enqueue,
       .dispatch = (void *)f29_gone_dispatch,
       .running = (void *)f29_gone_running,
       .stopping = (void *)f29_gone_stopping,
       .update_idle = (void *)f29_gone_update_idle,
       .cpu_online = (void *)f29_gone_cpu_online,
       .cpu_offline = (void *)f29_gone_cpu_offline,
       .init = (void *)f29_gone_init,
       .exit = (void *)f29_gone_exit,
       .flags = SCX_OPS_KEEP_BUILTIN_IDLE,
       .timeout_ms = 5000);
