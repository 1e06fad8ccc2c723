// SPDX-License-Identifier: GPL-2.0-only
/* Long slices for throughput, cut when the queue grows, so that the last in it still has its turn within a second. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"
#include "primitives/slice.bpf.h"

enum batch_dsq {
	QUEUE = 0,
};

const volatile u64 slice_ns = 40 * SX_MS; /* ns, 1000000..100000000: longest time on a CPU */

SX_EXIT_RECORD();
SX_COUNTS_CPUS(batch)

s32 SX_OP(batch_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, slice_ns);
}

void SX_OP(batch_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, slice_ns, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(batch_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

void SX_OP(batch_running, struct task_struct *p)
{
	sx_cut_slice(p, sx_bounded_slice(slice_ns, sx_dsq_nr_queued(QUEUE), cpus));
}

s32 SX_OP_SLEEPABLE(batch_init)
{
	cpus = sx_nr_online_cpus();
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(batch_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(batch,
       .select_cpu = (void *)batch_select_cpu,
       .enqueue = (void *)batch_enqueue,
       .dispatch = (void *)batch_dispatch,
       .running = (void *)batch_running,
       .cpu_online = (void *)batch_cpu_online,
       .cpu_offline = (void *)batch_cpu_offline,
       .init = (void *)batch_init,
       .exit = (void *)batch_exit,
       .timeout_ms = 5000);
