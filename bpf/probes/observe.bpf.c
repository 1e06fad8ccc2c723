// SPDX-License-Identifier: GPL-2.0-only
/*
 * observe: follows every task descended from one process through fork, wake-up, switch and exit, whatever scheduler
 * class runs it, and adds each up under the command name it ends with, and its CPU time under each part of its job's
 * key. CPU time is the kernel's own count.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "observe.h"
#include "primitives/jobkey.h"

_Static_assert(OBSERVE_KEYS == SX_JOB_PARTS, "one sum for each part of a key");

#define TASK_DEAD 0x80 /* a macro of the kernel's: the state of a task's last switch */

char _license[] SEC("license") = "GPL";

/* Alone in their sections, so that the program finds each without a look into BTF. */
const volatile int observer_tgid SEC(".rodata.observer"); /* children of this process are followed */
unsigned long long lost SEC(".bss.lost"); /* tasks that no map had room for: the counts are then too low */

/* Keyed by the task's address: unlike its id that does not change when a thread calls exec. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct observe_task);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct observe_comm);
	__type(value, struct observe_counts);
} commands SEC(".maps");

/*
 * Room for many, that those with most CPU time can be told: arguments may differ in every task. Allocated beforehand: a task
 * that ends wants up to six entries at once, which the allocator for callers that cannot sleep does not always have.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct observe_key);
	__type(value, struct observe_jobs);
} jobs SEC(".maps");

static const struct observe_jobs no_jobs;
static const struct observe_task new_task;
static const struct observe_counts no_counts;

static __always_inline struct observe_task *followed(const struct task_struct *p)
{
	u64 key = (u64)p;

	return bpf_map_lookup_elem(&tasks, &key);
}

static __always_inline u32 bucket(u64 ns)
{
	u64 us = ns / 1000;
	u32 i = 0;

	if (us >> 16)
		i += 16, us >>= 16;
	if (us >> 8)
		i += 8, us >>= 8;
	if (us >> 4)
		i += 4, us >>= 4;
	if (us >> 2)
		i += 2, us >>= 2;
	if (us >> 1)
		i += 1;
	return i & (OBSERVE_BUCKETS - 1);
}

/* The time since the task became what it was; it is `state` from now on. */
static __always_inline u64 become(struct observe_task *task, u32 state)
{
	u64 now = bpf_ktime_get_ns(), passed = now - task->since;

	task->state = state;
	task->since = now;
	return passed;
}

static __always_inline void end_burst(struct observe_task *task)
{
	if (task->burst_ns)
		task->counts.burst_log2_us[bucket(task->burst_ns)]++;
	task->burst_ns = 0;
}

/* Add what a finished task did to its command. Several CPUs may do so for one command at once. */
static __always_inline void add_up(struct observe_task *task)
{
	struct observe_counts *sum = bpf_map_lookup_elem(&commands, &task->comm);
	u64 most;
	int i;

	if (!sum) {
		bpf_map_update_elem(&commands, &task->comm, &no_counts, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&commands, &task->comm);
	}
	if (!sum) {
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	__sync_fetch_and_add(&sum->tasks, 1);
	__sync_fetch_and_add(&sum->cpu_ns, task->counts.cpu_ns);
	__sync_fetch_and_add(&sum->wait_ns, task->counts.wait_ns);
	__sync_fetch_and_add(&sum->sleep_ns, task->counts.sleep_ns);
	__sync_fetch_and_add(&sum->wakeups, task->counts.wakeups);
	__sync_fetch_and_add(&sum->switches, task->counts.switches);
	for (i = 0; i < OBSERVE_BUCKETS; i++) {
		__sync_fetch_and_add(&sum->burst_log2_us[i], task->counts.burst_log2_us[i]);
		__sync_fetch_and_add(&sum->wait_log2_us[i], task->counts.wait_log2_us[i]);
	}
	for (i = 0; i < 8; i++) { /* a lost race is run again; eight lost in a row would cost one maximum */
		most = *(volatile u64 *)&sum->cpu_ns_max_task;
		if (most >= task->counts.cpu_ns ||
		    __sync_val_compare_and_swap(&sum->cpu_ns_max_task, most, task->counts.cpu_ns) == most)
			break;
	}
}

static __always_inline struct observe_jobs *jobs_of(const struct observe_key *key)
{
	struct observe_jobs *sum = bpf_map_lookup_elem(&jobs, key);

	if (sum)
		return sum;
	bpf_map_update_elem(&jobs, key, &no_jobs, BPF_NOEXIST);
	return bpf_map_lookup_elem(&jobs, key);
}

/* Add a finished task's CPU time to the sum of its number for each part, or, without room, to that of number 0, which is there. */
static __always_inline void add_jobs(const struct observe_task *task)
{
	u64 cpu_ns = task->counts.cpu_ns;
	u32 part;

	for (part = 0; part < OBSERVE_KEYS; part++) {
		struct observe_key key = { .part = part, .number = task->parts[part] };
		struct observe_jobs *sum = jobs_of(&key);

		if (!sum) {
			key.number = 0;
			sum = jobs_of(&key);
		}
		if (!sum)
			continue;
		__sync_fetch_and_add(&sum->tasks, 1);
		__sync_fetch_and_add(&sum->cpu_ns, cpu_ns);
		__sync_fetch_and_add(&sum->squares, (cpu_ns >> 16) * (cpu_ns >> 16));
		if (cpu_ns > sum->cpu_ns_max_task) /* a lost race costs one maximum */
			sum->cpu_ns_max_task = cpu_ns;
	}
}

/* Of the running task, whose memory is at hand: what exec gave it. */
static __always_inline void read_program(struct observe_task *task, const struct task_struct *p)
{
	const struct mm_struct *mm = p->mm;

	if (!mm)
		return;
	task->parts[SX_JOB_ARGUMENTS] = sx_arguments_key(mm);
	task->parts[SX_JOB_EXECUTABLE] = sx_executable_key(mm);
}

/* A child is what its parent is until it calls exec; the first followed one's parent is this probe's program. */
static __always_inline void take_after(struct observe_task *task, struct task_struct *parent)
{
	struct observe_task *known = followed(parent);

	task->parts[SX_JOB_PARENT] = sx_name_key(parent->comm);
	if (!known)
		return;
	task->parts[SX_JOB_ARGUMENTS] = known->parts[SX_JOB_ARGUMENTS];
	task->parts[SX_JOB_EXECUTABLE] = known->parts[SX_JOB_EXECUTABLE];
	task->parts[SX_JOB_POSITION] = __sync_fetch_and_add(&known->forks, 1) + 1;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p)
{
	struct observe_task *task = followed(p);

	if (task)
		read_program(task, p);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct observe_task *task;
	u64 key = (u64)child;

	if (parent->tgid != observer_tgid && !followed(parent))
		return 0;
	if (bpf_map_update_elem(&tasks, &key, &new_task, BPF_ANY)) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	task = followed(child);
	if (task) {
		task->cpu_mark = child->se.sum_exec_runtime;
		bpf_probe_read_kernel(&task->comm, sizeof(task->comm), &child->comm);
		take_after(task, parent);
		become(task, OBSERVE_SLEEPING);
	}
	return 0;
}

static __always_inline int wake(const struct task_struct *p, bool fresh)
{
	struct observe_task *task = followed(p);
	u64 slept_ns;

	/* A task that is woken before it has left its CPU goes on as if nothing had been. */
	if (!task || task->state != OBSERVE_SLEEPING)
		return 0;
	slept_ns = become(task, OBSERVE_WAITING);
	if (!fresh) {
		task->counts.sleep_ns += slept_ns;
		task->counts.wakeups++;
	}
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *p)
{
	return wake(p, false);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *p)
{
	return wake(p, true);
}

static __always_inline void leave_cpu(struct task_struct *p, struct observe_task *task, bool preempted, u32 state)
{
	u64 cpu_ns = p->se.sum_exec_runtime - task->cpu_mark, key = (u64)p;
	bool sleeps = !preempted && state;

	task->cpu_mark = p->se.sum_exec_runtime;
	task->counts.cpu_ns += cpu_ns;
	task->burst_ns += cpu_ns;
	become(task, sleeps ? OBSERVE_SLEEPING : OBSERVE_WAITING);
	bpf_probe_read_kernel(&task->comm, sizeof(task->comm), &p->comm);
	if (sleeps)
		end_burst(task);
	task->parts[SX_JOB_NAME] = sx_name_key(p->comm);
	task->parts[SX_JOB_CGROUP] = sx_cgroup_key(p);
	if (sleeps && state & TASK_DEAD) {
		add_up(task);
		add_jobs(task);
		bpf_map_delete_elem(&tasks, &key);
	}
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempted, struct task_struct *prev, struct task_struct *next, u32 prev_state)
{
	struct observe_task *task = followed(prev);
	u64 waited_ns;

	if (task)
		leave_cpu(prev, task, preempted, prev_state);
	task = followed(next);
	if (task && task->state != OBSERVE_RUNNING) {
		waited_ns = become(task, OBSERVE_RUNNING);
		task->counts.wait_ns += waited_ns;
		task->counts.wait_log2_us[bucket(waited_ns)]++;
		task->counts.switches++;
	}
	return 0;
}
