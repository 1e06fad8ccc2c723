// SPDX-License-Identifier: GPL-2.0-only
/* a loop with a large bound that ends as soon as the queue is empty, as scx_qmap has it (F36 at source). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";
s64 ended;
u64 cpus, lost;
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, s32);
} fifo SEC(".maps");
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym;
struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;

SEC("struct_ops/d15_enqueue")
void BPF_PROG(d15_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&fifo, &pid, 0))
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}
SEC("struct_ops/d15_dispatch")
void BPF_PROG(d15_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid;

	bpf_repeat(1 << 23) {
		if (bpf_map_pop_elem(&fifo, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
		bpf_task_release(p);
		break;
	}
}
SEC("struct_ops/d15_on")
void BPF_PROG(d15_on, s32 cpu) { __sync_fetch_and_add(&cpus, 1); }
SEC("struct_ops/d15_off")
void BPF_PROG(d15_off, s32 cpu) { __sync_fetch_and_add(&cpus, -1); }
SEC("struct_ops/d15_exit")
void BPF_PROG(d15_exit, struct scx_exit_info *ei) { ended = ei->exit_code; }

SEC(".struct_ops.link")
struct sched_ext_ops d15 = {
	.enqueue = (void *)d15_enqueue, .dispatch = (void *)d15_dispatch,
	.cpu_online = (void *)d15_on, .cpu_offline = (void *)d15_off,
	.exit = (void *)d15_exit, .timeout_ms = 5000, .name = "d15",
};
