// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many ways to let a count say whether dispatch moves anybody, in one object: `f03` where it never does again once the count
 * has come far enough, `ok` where it does. What a policy would change elsewhere, `elsewhere` does. Never loaded.
 */
#include "sx/sx.h"

enum {
	QUEUE = 0,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} turns_of_cpu SEC(".maps"), told SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, s64);
} left_of_cpu SEC(".maps");

static s64 budget = 1000000;
static u32 small_budget = 1000000;
static u64 turns, given, started, moved;
static u16 short_turns;
static s64 left = 40000;
static volatile u64 limit = 5000;

#define CASE(name) void SX_OP(name, s32 cpu, struct task_struct *prev)

static __noinline bool may_move(void)
{
	return __sync_fetch_and_sub(&budget, 1) > 0;
}

CASE(f03_fetched)
{
	if (__sync_fetch_and_sub(&budget, 1) <= 0)
		return;
	sx_move_to_local(QUEUE);
}

CASE(f03_falls)
{
	if (budget-- > 0)
		sx_move_to_local(QUEUE);
}

CASE(f03_rises)
{
	if (++turns > 5000000)
		return;
	sx_move_to_local(QUEUE);
}

CASE(f03_of_each_cpu)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&turns_of_cpu, &key);

	if (!count || (*count)++ >= 5000000)
		return;
	sx_move_to_local(QUEUE);
}

CASE(f03_stays_at_nothing)
{
	if (!small_budget)
		return;
	small_budget--;
	sx_move_to_local(QUEUE);
}

CASE(f03_by_a_function)
{
	if (!may_move())
		return;
	sx_move_to_local(QUEUE);
}

CASE(f03_sometimes)
{
	if (prev && turns++ > 1000000)
		return;
	sx_move_to_local(QUEUE);
}

CASE(f03_by_a_variable)
{
	if (turns++ > limit)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_each_eighth)
{
	if (++turns % 8 == 0)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_only_once)
{
	if (--small_budget == 0)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_not_at_first)
{
	if (turns++ < 10)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_filled_up)
{
	if (budget-- <= 0) {
		budget = 100;
		return;
	}
	sx_move_to_local(QUEUE);
}

CASE(ok_filled_elsewhere)
{
	if (given++ > 1000000)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_only_counts)
{
	if (turns++ > 1000000)
		moved++;
	sx_move_to_local(QUEUE);
}

CASE(ok_comes_round)
{
	if (short_turns++ > 60000)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_in_no_lifetime)
{
	if (turns++ > 1ULL << 50)
		return;
	sx_move_to_local(QUEUE);
}

CASE(ok_told_by_a_call)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&told, &key);

	if (!count || (*count)++ >= 5000000)
		return;
	sx_move_to_local(QUEUE);
}

void SX_OP(elsewhere, struct task_struct *p)
{
	u32 key = 0;
	u64 none = 0;

	given = 0;
	bpf_map_update_elem(&told, &key, &none, BPF_ANY);
}

CASE(left_in_data)
{
	if (left <= 0)
		return;
	left--;
	sx_move_to_local(QUEUE);
}

CASE(left_in_map)
{
	u32 key = cpu;
	s64 *count = bpf_map_lookup_elem(&left_of_cpu, &key);

	if (!count || *count <= 0)
		return;
	(*count)--;
	sx_move_to_local(QUEUE);
}

void SX_OP(refills, struct task_struct *p)
{
	u32 key = 0;
	s64 *count = bpf_map_lookup_elem(&left_of_cpu, &key);

	left += 30000;
	if (count)
		*count += 30000;
}

s32 SX_OP_SLEEPABLE(begins)
{
	u32 key;
	s64 first = 30000;

	bpf_for(key, 0, 64)
		bpf_map_update_elem(&left_of_cpu, &key, &first, BPF_ANY);
	started = 7;
	turns = 4000000;
	return 0;
}

SX_OPS(counts, .dispatch = (void *)f03_fetched, .running = (void *)elsewhere, .init = (void *)begins);
