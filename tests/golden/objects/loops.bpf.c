// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dispatches that insert in loops, in one object: `open` where more than 32 may be inserted at once, `ok` where that cannot
 * be. And what enqueue inserts where, without a kick: `asked` where an idle CPU may not find it. Never loaded.
 */
#include "sx/sx.h"

enum {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} waiting SEC(".maps");

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

static __always_inline bool take_one(void)
{
	struct task_struct *p;
	s32 pid;

	if (bpf_map_pop_elem(&waiting, &pid))
		return false;
	p = bpf_task_from_pid(pid);
	if (!p)
		return true;
	sx_insert(p, QUEUE, SCX_SLICE_DFL, 0);
	bpf_task_release(p);
	return true;
}

static long one_more(u32 index, void *data)
{
	return !take_one();
}

#define CASE(name) void SX_OP(name, s32 cpu, struct task_struct *prev)

CASE(ok_for_8)
{
	s32 i;

	bpf_for(i, 0, 8)
		if (!take_one())
			break;
}

CASE(ok_for_32)
{
	s32 i;

	bpf_for(i, 0, 32)
		if (!take_one())
			break;
}

CASE(ok_for_4_in_4)
{
	s32 i, j;

	bpf_for(i, 0, 4)
		bpf_for(j, 0, 4)
			if (!take_one())
				break;
}

CASE(ok_plain_8)
{
	s32 i;

	for (i = 0; i < 8; i++)
		if (!take_one())
			break;
}

CASE(ok_loop_16)
{
	bpf_loop(16, one_more, NULL, 0);
}

CASE(open_for_33)
{
	s32 i;

	bpf_for(i, 0, 33)
		if (!take_one())
			break;
}

CASE(open_for_20_twice)
{
	s32 i;

	bpf_for(i, 0, 20)
		if (!take_one())
			break;
	bpf_for(i, 0, 20)
		if (!take_one())
			break;
}

CASE(open_for_8_in_8)
{
	s32 i, j;

	bpf_for(i, 0, 8)
		bpf_for(j, 0, 8)
			if (!take_one())
				break;
}

CASE(open_for_each_cpu)
{
	s32 i;

	bpf_for(i, 0, cpu)
		if (!take_one())
			break;
}

CASE(open_plain_40)
{
	s32 i;

	for (i = 0; i < 40; i++)
		if (!take_one())
			break;
}

CASE(open_loop_64)
{
	bpf_loop(64, one_more, NULL, 0);
}

#define ENQUEUE(name) void SX_OP(name, struct task_struct *p, u64 enq_flags)

ENQUEUE(asked_queue)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

ENQUEUE(asked_queue_of_cpu)
{
	sx_insert(p, sx_task_cpu(p), SCX_SLICE_DFL, enq_flags);
}

ENQUEUE(silent_local_on)
{
	sx_insert(p, SX_DSQ_LOCAL_ON | sx_task_cpu(p), SCX_SLICE_DFL, enq_flags);
}

ENQUEUE(silent_local)
{
	sx_insert(p, SX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
}

SX_OPS(loops, .dispatch = (void *)ok_for_8);
