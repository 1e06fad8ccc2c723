// SPDX-License-Identifier: GPL-2.0-only
/* scx_simple -f: a constant turns the vtime branch off; the compiler drops it, the source stage rejects for it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";
const volatile bool fifo = true;
s64 ended;
u64 cpus;
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym;
bool scx_bpf_task_set_dsq_vtime(struct task_struct *p, u64 vtime) __ksym;

SEC("struct_ops/d17_enqueue")
void BPF_PROG(d17_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}
SEC("struct_ops/d17_stopping")
void BPF_PROG(d17_stopping, struct task_struct *p, bool runnable)
{
	if (fifo)
		return;
	scx_bpf_task_set_dsq_vtime(p, p->scx.dsq_vtime + (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight);
}
SEC("struct_ops/d17_on")
void BPF_PROG(d17_on, s32 cpu) { __sync_fetch_and_add(&cpus, 1); }
SEC("struct_ops/d17_off")
void BPF_PROG(d17_off, s32 cpu) { __sync_fetch_and_add(&cpus, -1); }
SEC("struct_ops/d17_exit")
void BPF_PROG(d17_exit, struct scx_exit_info *ei) { ended = ei->exit_code; }

SEC(".struct_ops.link")
struct sched_ext_ops d17 = {
	.enqueue = (void *)d17_enqueue, .stopping = (void *)d17_stopping,
	.cpu_online = (void *)d17_on, .cpu_offline = (void *)d17_off,
	.exit = (void *)d17_exit, .timeout_ms = 5000, .name = "d17",
};
