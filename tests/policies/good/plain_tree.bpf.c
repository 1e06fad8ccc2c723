// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting tasks are nodes of a red-black tree of our own, ordered by when they are due; dispatch takes the first.
 * Without memory for a node a task goes to the shared queue at once.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define SHARED 0

#define contains(kind, node) __attribute__((btf_decl_tag("contains:" #kind ":" #node)))
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

struct waiter {
	struct bpf_rb_node node;
	u64 due;
	s32 pid;
};

private(TREE) struct bpf_spin_lock lock;
private(TREE) struct bpf_rb_root tree contains(waiter, node);

static bool due_before(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct waiter, node)->due < container_of(b, const struct waiter, node)->due;
}

/* The number of the task that is due first, or 0. */
static s32 pop_first(void)
{
	struct bpf_rb_node *node;
	struct waiter *first;
	s32 pid;

	bpf_spin_lock(&lock);
	node = bpf_rbtree_first(&tree);
	if (!node) {
		bpf_spin_unlock(&lock);
		return 0;
	}
	node = bpf_rbtree_remove(&tree, node);
	bpf_spin_unlock(&lock);
	if (!node)
		return 0;
	first = container_of(node, struct waiter, node);
	pid = first->pid;
	bpf_obj_drop(first);
	return pid;
}

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/tree_select_cpu")
s32 BPF_PROG(tree_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC("struct_ops/tree_enqueue")
void BPF_PROG(tree_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct waiter *waiter = bpf_obj_new(bpf_core_type_id_local(struct waiter));
	s32 cpu;

	if (waiter) {
		waiter->pid = p->pid;
		waiter->due = scx_bpf_now() + (p->scx.weight < 100 ? 20000000 : 0);
		bpf_spin_lock(&lock);
		bpf_rbtree_add(&tree, &waiter->node, due_before);
		bpf_spin_unlock(&lock);
	} else {
		scx_bpf_dsq_insert(p, SHARED, 3000000, enq_flags);
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC("struct_ops/tree_dispatch")
void BPF_PROG(tree_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for(i, 0, 8) {
		pid = pop_first();
		if (!pid)
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, SHARED, 3000000, 0);
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(SHARED);
}

SEC("struct_ops.s/tree_cpu_online")
void BPF_PROG(tree_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/tree_cpu_offline")
void BPF_PROG(tree_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/tree_init")
s32 BPF_PROG(tree_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

SEC("struct_ops.s/tree_exit")
void BPF_PROG(tree_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops tree_ops = {
	.select_cpu = (void *)tree_select_cpu,
	.enqueue = (void *)tree_enqueue,
	.dispatch = (void *)tree_dispatch,
	.cpu_online = (void *)tree_cpu_online,
	.cpu_offline = (void *)tree_cpu_offline,
	.init = (void *)tree_init,
	.exit = (void *)tree_exit,
	.timeout_ms = 5000,
	.name = "tree",
};
