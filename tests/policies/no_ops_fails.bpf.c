// fails: object: no struct_ops in the object
// SPDX-License-Identifier: GPL-2.0-only
/* A good BPF program, but no scheduler. */
#include "sx/sx.h"

char _license[] SEC("license") = "GPL";

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return 0;
}
