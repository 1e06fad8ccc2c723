// SPDX-License-Identifier: GPL-2.0-only
/* Each kind of condition that coverage tells apart, by the words after it (tests/unit/test_conditions.py). Never loaded. */
#include "sx/sx.h"

#define LIMIT 8

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMIT);
	__type(key, u32);
	__type(value, u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, s32);
	__type(value, u64);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} own SEC(".maps");

const volatile u32 nr_queues = 4;
u64 nr_made, nr_ended;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(ways)

void SX_OP(ways_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 *mine = bpf_task_storage_get(&own, p, 0, 0), *counted, *known;
	s32 pid = p->pid;
	u32 slot = pid & 7;

	if (!mine) { /* storage */
		sx_insert(p, SX_DSQ_GLOBAL, SX_MS, enq_flags);
		return;
	}
	counted = bpf_map_lookup_elem(&counts, &slot);
	if (!counted) /* array */
		return;
	known = bpf_map_lookup_elem(&seen, &pid);
	if (!known) /* hash */
		bpf_map_update_elem(&seen, &pid, mine, BPF_ANY);
	if (*counted > 1000) { /* error */
		sx_error("task %d came too often", pid);
		return;
	}
	if (*mine > 7) /* plain */
		*counted += 1;
	sx_insert(p, SX_DSQ_GLOBAL, SX_MS, enq_flags);
}

void SX_OP(ways_running, struct task_struct *p)
{
	u64 sum = 0;
	s32 i;

	bpf_for(i, 0, LIMIT) { /* loop */
		u32 slot = i;
		u64 *counted = bpf_map_lookup_elem(&counts, &slot);

		if (counted)
			sum += *counted;
	}
	if (sum == 123456) /* sum */
		sx_set_slice(p, SX_MS);
}

static __noinline s32 make_queue(u64 queue)
{
	s32 ret = sx_create_dsq(queue);

	if (ret < 0) /* in a subprogram */
		return ret;
	return bpf_map_update_elem(&seen, &ret, &queue, BPF_ANY) ? -ENOMEM : 0; /* another failure */
}

static __noinline s32 level_of(u64 queue)
{
	s32 ret = sx_create_dsq(queue);

	if (ret) /* goes on */
		ret = 1;
	return ret;
}

s32 SX_OP_SLEEPABLE(ways_init)
{
	u64 queue = 1;
	s32 ret, i;

	ret = sx_create_dsq(queue);
	if (ret) /* variable */
		return ret;
	bpf_for(i, 0, nr_queues) {
		ret = sx_create_dsq(i + 10);
		if (ret) /* in a loop */
			return ret;
	}
	if (bpf_map_update_elem(&seen, &i, &queue, BPF_ANY)) /* constant */
		return -ENOMEM;
	ret = make_queue(2);
	if (ret) /* of a subprogram */
		goto out;
	if (level_of(3)) /* a level */
		nr_made++;
	ret = sx_dsq_nr_queued(1);
	if (ret) /* a count */
		return ret;
	if (bpf_map_update_elem(&seen, &i, &queue, BPF_NOEXIST)) /* borne */
		nr_made++;
	if (bpf_map_delete_elem(&seen, &i)) /* not there */
		return -EINVAL;
	nr_made++;
out:
	nr_ended++;
	return ret;
}

void SX_OP(ways_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 pid = cpu;
	u64 queue = 1;

	if (bpf_map_update_elem(&seen, &pid, &queue, BPF_ANY)) /* nothing returned */
		return;
	if (!sx_move_to_local(queue)) /* truth */
		nr_made++;
}

s32 SX_OP_SLEEPABLE(ways_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&own, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void SX_OP_SLEEPABLE(ways_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(ways,
       .init = (void *)ways_init,
       .dispatch = (void *)ways_dispatch,
       .init_task = (void *)ways_init_task,
       .enqueue = (void *)ways_enqueue,
       .running = (void *)ways_running,
       .cpu_online = (void *)ways_cpu_online,
       .cpu_offline = (void *)ways_cpu_offline,
       .exit = (void *)ways_exit);
