/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs known by what they are: a key made of the parts that a policy's knob chooses (jobkey.h), the CPU time that hints
 * say a key needs, and what finished tasks of it have used. The maps are the policy's own.
 */
#ifndef SX_PRIMITIVE_JOBS_H
#define SX_PRIMITIVE_JOBS_H

#include "sx/sx.h"
#include "primitives/jobkey.h"

#define SX_HINTS_MAX 64
#define SX_HINT_NAMES_MAX 16

/* A task as a job. `parts` and `key` are 0 where they are not known. */
struct sx_job {
	u64 parts[SX_JOB_PARTS];
	u64 key;
	u64 read_for; /* one more than the number of the exec whose arguments were read; 0: none */
	s32 hint; /* of `key`, -1 without one */
	u32 forks; /* how many children it had */
};

/* What finished tasks of one key used: value of a policy's map by key, best an LRU one. */
struct sx_job_history {
	u64 tasks, cpu_ns;
};

/*
 * Fills a policy's `u64 hints[SX_HINTS_MAX]`, which the first 0 ends, with the keys that its knobs name: of names where
 * there are any, else as they are given. Returns the longest time among those that stand beside them.
 */
static __always_inline u64 sx_hints_init(u64 *hints, const volatile char (*names)[16], const volatile u64 *keys,
					 const volatile u64 *cpu_ns)
{
	u64 longest_ns = 0;
	s32 i;

	bpf_for(i, 0, SX_HINTS_MAX) {
		u32 at = i & (SX_HINTS_MAX - 1), name = i & (SX_HINT_NAMES_MAX - 1);
		u64 key = i < SX_HINT_NAMES_MAX && names[name][0] ? sx_name_key((const char *)names[name]) : keys[at];

		if (!key)
			break;
		hints[at] = key;
		if (cpu_ns[at] > longest_ns)
			longest_ns = cpu_ns[at];
	}
	return longest_ns;
}

static __always_inline s32 sx_find_hint(const u64 *hints, u64 key)
{
	s32 i;

	bpf_for(i, 0, SX_HINTS_MAX) {
		u64 known = hints[i & (SX_HINTS_MAX - 1)];

		if (!known)
			break;
		if (known == key)
			return i;
	}
	return -1;
}

/*
 * The key of the parts that are the bits of `by`: of one part it is that part, of several their sum, each times an odd
 * number of its own; 0 if one of them is not known. Without branches, each of which would double the ways through.
 */
static __always_inline u64 sx_job_key(const struct sx_job *job, u32 by)
{
	u64 key = 0, unknown = 0, several = by & (by - 1) ? 2 : 0;
	u32 i;

#pragma unroll
	for (i = 0; i < SX_JOB_PARTS; i++) {
		u64 part = job->parts[i], chosen = -(u64)(by >> i & 1);

		unknown |= chosen & ~(part | -part); /* its highest bit is set where the part is 0 */
		key += chosen & part * (several * i + 1);
	}
	return unknown >> 63 ? 0 : key;
}

/* From init_task, of a new task and its parent's record, or of one that was there before the policy (parent NULL). */
static __always_inline void sx_job_starts(struct sx_job *job, struct task_struct *p, struct sx_job *parent)
{
	job->hint = -1;
	job->parts[SX_JOB_PARENT] = sx_name_key(parent ? bpf_get_current_task_btf()->comm : BPF_CORE_READ(p, real_parent)->comm);
	if (!parent)
		return;
	job->parts[SX_JOB_ARGUMENTS] = parent->parts[SX_JOB_ARGUMENTS];
	job->parts[SX_JOB_EXECUTABLE] = parent->parts[SX_JOB_EXECUTABLE];
	job->read_for = parent->read_for;
	job->parts[SX_JOB_POSITION] = __sync_fetch_and_add(&parent->forks, 1) + 1;
}

/* Arguments and executable lie in the process's own memory: they are read while it is the one that runs. */
static __always_inline void sx_job_read_memory(struct sx_job *job, const struct task_struct *p, u32 by)
{
	const struct mm_struct *mm = p->mm;

	if (!(by & (1 << SX_JOB_ARGUMENTS | 1 << SX_JOB_EXECUTABLE)) || !mm || job->read_for == p->self_exec_id + 1 ||
	    bpf_get_current_task_btf()->pid != p->pid)
		return;
	job->parts[SX_JOB_EXECUTABLE] = sx_executable_key(mm);
	job->parts[SX_JOB_ARGUMENTS] = sx_arguments_key(mm);
	if (job->parts[SX_JOB_ARGUMENTS])
		job->read_for = p->self_exec_id + 1;
}

/* Brings the key up to date: exec, prctl and moves between cgroups change what a task is. Cheap if none did. */
static __always_inline void sx_job_refresh(struct sx_job *job, const struct task_struct *p, u32 by, const u64 *hints)
{
	u64 key;

	if (by & 1 << SX_JOB_NAME)
		job->parts[SX_JOB_NAME] = sx_name_key(p->comm);
	if (by & 1 << SX_JOB_CGROUP)
		job->parts[SX_JOB_CGROUP] = sx_cgroup_key(p);
	sx_job_read_memory(job, p, by);
	key = sx_job_key(job, by);
	if (key == job->key)
		return;
	job->key = key;
	job->hint = key ? sx_find_hint(hints, key) : -1;
}

/* From exit_task: what the task used is the history of its key. Best effort: a map that is full forgets. */
static __always_inline void sx_job_ends(void *history, const struct sx_job *job, u64 cpu_ns)
{
	struct sx_job_history first = { .tasks = 1, .cpu_ns = cpu_ns }, *known;
	u64 key = job->key;

	if (!key)
		return;
	known = bpf_map_lookup_elem(history, &key);
	if (!known) {
		bpf_map_update_elem(history, &key, &first, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&known->tasks, 1);
	__sync_fetch_and_add(&known->cpu_ns, cpu_ns);
}

/* The mean CPU time of the key's finished tasks; 0 if none has finished. */
static __always_inline u64 sx_job_mean(void *history, u64 key)
{
	struct sx_job_history *known = bpf_map_lookup_elem(history, &key); /* none has key 0 */

	return known ? known->cpu_ns / known->tasks : 0;
}

#endif
