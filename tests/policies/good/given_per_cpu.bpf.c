// SPDX-License-Identifier: GPL-2.0-only
// load: slices_ns=2000000,4000000
/* An element for each CPU, resized by the loader, whose number it fills, too; the slices are given as a list. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

const volatile u32 nr_cpu_ids = 1;
const volatile u64 slices_ns[1] SEC(".rodata.slices_ns");
u64 enqueued[1] SEC(".data.enqueued");

/* An element that lies within the array as it is loaded; the compiler must not take it for the one of today. */
#define MEMBER(array, i)							\
	({									\
		u64 at = (i) * sizeof((array)[0]);				\
		asm volatile("" : "+r"(at));					\
		(i) < nr_cpu_ids && at < (u64)nr_cpu_ids * sizeof((array)[0]) ? (void *)(array) + at : NULL; \
	})

struct {
	s32 kind;
	s64 exit_code;
	char reason[128];
	char msg[1024];
} uei;

static s32 nr_online;

SEC("struct_ops/given_per_cpu_enqueue")
void BPF_PROG(given_per_cpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 cpu = scx_bpf_task_cpu(p);
	u64 *count = MEMBER(enqueued, cpu);
	const volatile u64 *given = MEMBER(slices_ns, cpu);
	u64 slice_ns = given ? *given : 0;

	if (count)
		__sync_fetch_and_add(count, 1);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns ? slice_ns : 3000000, enq_flags);
}

SEC("struct_ops.s/given_per_cpu_cpu_online")
void BPF_PROG(given_per_cpu_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&nr_online, 1);
}

SEC("struct_ops.s/given_per_cpu_cpu_offline")
void BPF_PROG(given_per_cpu_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&nr_online, 1);
}

SEC("struct_ops.s/given_per_cpu_exit")
void BPF_PROG(given_per_cpu_exit, struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei.reason, sizeof(uei.reason), ei->reason);
	bpf_probe_read_kernel_str(uei.msg, sizeof(uei.msg), ei->msg);
	uei.exit_code = ei->exit_code;
	uei.kind = ei->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops given_per_cpu_ops = {
	.enqueue = (void *)given_per_cpu_enqueue,
	.cpu_online = (void *)given_per_cpu_cpu_online,
	.cpu_offline = (void *)given_per_cpu_cpu_offline,
	.exit = (void *)given_per_cpu_exit,
	.timeout_ms = 5000,
	.name = "given_per_cpu",
};
