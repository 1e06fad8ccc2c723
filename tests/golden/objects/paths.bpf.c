// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many ways to write enqueue, in one object: the walk of each is a test case. A name begins with what must be found in it:
 * `ok` for nothing, `f01` and the like for a rejection, `open` for what cannot be told. Never loaded.
 */
#include "sx/sx.h"

enum {
	QUEUE = 0,
};

struct task_ctx {
	u64 seen;
	bool queued;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, s32);
	__type(value, u64);
} by_pid SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, s32);
} waiting SEC(".maps");

const volatile u32 mode = 1;
u64 counter, last;

#define CASE(name) void SX_OP(name, struct task_struct *p, u64 enq_flags)
#define INSERT(dsq) sx_insert(p, dsq, SCX_SLICE_DFL, enq_flags)

CASE(ok_flag_kept_in_a_variable)
{
	bool done = false;

	if (sx_is_kthread(p)) {
		INSERT(SX_DSQ_LOCAL);
		done = true;
	}
	counter++;
	if (!done)
		INSERT(QUEUE);
}

CASE(ok_one_test_made_twice)
{
	if (sx_is_kthread(p))
		INSERT(SX_DSQ_LOCAL);
	bpf_printk("between");
	if (!sx_is_kthread(p))
		INSERT(QUEUE);
}

CASE(ok_computed_test_made_twice)
{
	u64 share = p->scx.weight * 100 / (counter + 1);

	if (share > 500)
		INSERT(QUEUE);
	bpf_printk("between");
	if (share <= 500)
		INSERT(SX_DSQ_GLOBAL);
}

CASE(ok_array_element_is_always_there)
{
	u32 zero = 0;
	u64 *count = bpf_map_lookup_elem(&counts, &zero);

	if (!count)
		return;
	*count += 1;
	INSERT(QUEUE);
}

CASE(ok_error_ends_the_policy)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!tc) {
		sx_error("no record of %d", p->pid);
		return;
	}
	tc->seen++;
	INSERT(QUEUE);
}

static __noinline int note(struct task_struct *p, u64 flags)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!tc)
		return 1;
	tc->seen += flags;
	return 0;
}

CASE(ok_second_lookup_cannot_miss)
{
	if (!bpf_task_storage_get(&tasks, p, 0, 0)) {
		INSERT(SX_DSQ_GLOBAL);
		return;
	}
	if (note(p, enq_flags))
		return;
	INSERT(QUEUE);
}

CASE(ok_a_bool_is_one_of_two)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);
	u64 dsq = QUEUE;

	if (tc && tc->queued) {
		tc->queued = false;
		dsq = SX_DSQ_LOCAL;
	}
	if (tc && tc->queued)
		return;
	INSERT(dsq);
}

CASE(ok_knob_rules_it_out)
{
	if (mode == 2)
		return;
	INSERT(QUEUE);
}

CASE(ok_first_round_is_certain)
{
	int i;

	bpf_for(i, 0, 1)
	{
		INSERT(QUEUE);
		break;
	}
}

CASE(ok_search_then_fall_back)
{
	bool found = false;
	int i;

	bpf_for(i, 0, 8)
	{
		if (sx_claim_idle_cpu(i) && sx_can_run_on(p, i)) {
			INSERT(SX_DSQ_LOCAL_ON | i);
			found = true;
			break;
		}
	}
	if (!found)
		INSERT(QUEUE);
}

struct sum {
	u64 total;
};

static int add(u32 i, struct sum *sum)
{
	sum->total += i * counter;
	return sum->total > 1000;
}

CASE(ok_callback_of_bpf_loop)
{
	struct sum sum = {};

	bpf_loop(20, add, &sum, 0);
	last = sum.total;
	INSERT(QUEUE);
}

CASE(ok_long_counted_loop)
{
	u64 total = 0;
	int i;

	for (i = 0; i < 100; i++) {
		asm volatile("" : "+r"(total));
		total += i * counter;
	}
	last = total;
	INSERT(QUEUE);
}

CASE(ok_push_that_fails_is_seen)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		INSERT(QUEUE);
}

CASE(ok_kept_by_pid)
{
	s32 pid = p->pid;
	u64 now = sx_now();

	if (bpf_map_update_elem(&by_pid, &pid, &now, BPF_ANY))
		INSERT(QUEUE);
}

static __noinline bool local_if_pinned(struct task_struct *p, u64 enq_flags)
{
	if (!sx_is_pinned(p))
		return false;
	INSERT(SX_DSQ_LOCAL);
	return true;
}

CASE(ok_subprogram_says_what_it_did)
{
	if (!local_if_pinned(p, enq_flags))
		INSERT(QUEUE);
}

CASE(open_no_record)
{
	struct task_ctx *tc = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!tc)
		return;
	tc->seen++;
	INSERT(QUEUE);
}

CASE(f01_too_soon)
{
	u64 now = sx_now();

	if (now - last < SX_MS)
		return;
	last = now;
	INSERT(QUEUE);
}

CASE(f01_subprogram_ignored)
{
	if (counter++ & 1)
		INSERT(QUEUE);
	else
		local_if_pinned(p, enq_flags);
}

CASE(f01_push_that_fails_is_not_seen)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		counter++;
}

CASE(f07_falls_through)
{
	if (sx_is_kthread(p))
		INSERT(SX_DSQ_LOCAL);
	INSERT(QUEUE);
}

CASE(f07_in_a_loop)
{
	int i;

	bpf_for(i, 0, 4)
		INSERT(QUEUE);
}

CASE(f10_any_cpu)
{
	INSERT(SX_DSQ_LOCAL_ON | (counter++ % 4));
}

CASE(f26_push_ignored)
{
	s32 pid = p->pid;

	bpf_map_push_elem(&waiting, &pid, 0);
}

CASE(f33_flags_of_two_branches)
{
	u64 flags = SX_KICK_IDLE;

	INSERT(QUEUE);
	if (counter++ > 3)
		flags |= SX_KICK_PREEMPT;
	sx_kick_cpu(sx_task_cpu(p), flags);
}

static int add_all(u32 i, struct sum *sum)
{
	sum->total += i * counter;
	return 0;
}

CASE(f36_million_rounds)
{
	struct sum sum = {};

	bpf_loop(1 << 21, add_all, &sum, 0);
	last = sum.total;
	INSERT(QUEUE);
}

CASE(open_million_rounds_at_most)
{
	struct sum sum = {};

	bpf_loop(1 << 21, add, &sum, 0);
	last = sum.total;
	INSERT(QUEUE);
}

CASE(open_pid_in_a_global)
{
	last = p->pid;
	if (counter++ & 1)
		INSERT(QUEUE);
}

CASE(open_local_on_own_cpu)
{
	INSERT(SX_DSQ_LOCAL_ON | sx_task_cpu(p));
}

SX_OPS(paths, .enqueue = (void *)ok_knob_rules_it_out);
