// fails: object: is a tcp_congestion_ops, not a sched_ext_ops
// SPDX-License-Identifier: GPL-2.0-only
/* A struct_ops it has, and of another subsystem: congestion control for TCP. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/steady_ssthresh")
u32 BPF_PROG(steady_ssthresh, struct sock *sk)
{
	return 20;
}

SEC("struct_ops/steady_undo")
u32 BPF_PROG(steady_undo, struct sock *sk)
{
	return 10;
}

SEC("struct_ops/steady_avoid")
void BPF_PROG(steady_avoid, struct sock *sk, u32 ack, u32 acked)
{
}

SEC(".struct_ops.link")
struct tcp_congestion_ops steady = {
	.ssthresh = (void *)steady_ssthresh,
	.undo_cwnd = (void *)steady_undo,
	.cong_avoid = (void *)steady_avoid,
	.name = "steady",
};
