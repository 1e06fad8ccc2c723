/* SPDX-License-Identifier: GPL-2.0-only */
/* The table that makes a file a scheduler, and the callbacks in it. */
#ifndef SX_OPS_H
#define SX_OPS_H

/* A callback: `void SX_OP(mine_enqueue, struct task_struct *p, u64 enq_flags) { ... }` */
#define SX_OP(name, args...) SEC("struct_ops/" #name) BPF_PROG(name, ##args)

/* One that may sleep: init, exit, init_task, cpu_online, cpu_offline; every other is refused at load. */
#define SX_OP_SLEEPABLE(name, args...) SEC("struct_ops.s/" #name) BPF_PROG(name, ##args)

/*
 * Callbacks for CPUs that come and go, and `cpus`, how many are online; set it in init. Without such callbacks the kernel
 * ends the policy at the first hotplug. Nothing else is to be done: the kernel enqueues a leaving CPU's tasks anew.
 */
#define SX_COUNTS_CPUS(id)                                                                                             \
	static u32 cpus;                                                                                               \
	void SX_OP_SLEEPABLE(id##_cpu_online, s32 cpu)                                                                 \
	{                                                                                                              \
		__sync_fetch_and_add(&cpus, 1);                                                                        \
	}                                                                                                              \
	void SX_OP_SLEEPABLE(id##_cpu_offline, s32 cpu)                                                                \
	{                                                                                                              \
		__sync_fetch_and_add(&cpus, -1);                                                                       \
	}

/* The ops table and the licence: SX_OPS(mine, .enqueue = (void *)mine_enqueue, ..., .timeout_ms = 5000); */
#define SX_OPS(id, members...)                                                                                         \
	char _license[] SEC("license") = "GPL";                                                                        \
	SEC(".struct_ops.link") struct sched_ext_ops id##_ops = { .name = #id, members }

#endif
