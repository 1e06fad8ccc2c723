// SPDX-License-Identifier: GPL-2.0-only
/* One queue, first come first served, but for kernel threads, which go to its head. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum head_kthreads_dsq {
	HEAD_KTHREADS_QUEUE = 0,
};

SX_EXIT_RECORD();
SX_COUNTS_CPUS(head_kthreads)

s32 SX_OP(head_kthreads_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, 5 * SX_MS);
}

void SX_OP(head_kthreads_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, HEAD_KTHREADS_QUEUE, 5 * SX_MS, sx_is_kthread(p) ? enq_flags | SX_ENQ_HEAD : enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(head_kthreads_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(HEAD_KTHREADS_QUEUE);
}

s32 SX_OP_SLEEPABLE(head_kthreads_init)
{
	return sx_create_dsq(HEAD_KTHREADS_QUEUE);
}

void SX_OP_SLEEPABLE(head_kthreads_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(head_kthreads,
       .select_cpu = (void *)head_kthreads_select_cpu,
       .enqueue = (void *)head_kthreads_enqueue,
       .dispatch = (void *)head_kthreads_dispatch,
       .cpu_online = (void *)head_kthreads_cpu_online,
       .cpu_offline = (void *)head_kthreads_cpu_offline,
       .init = (void *)head_kthreads_init,
       .exit = (void *)head_kthreads_exit,
       .timeout_ms = 5000);
