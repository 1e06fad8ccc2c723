// fails: survive: failed to run | made no progress
// bug: F13
// SPDX-License-Identifier: GPL-2.0-only
/* A mask in half a byte says which CPUs may look: those behind the fourth never do. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f13_byte_of_cpus_dsq {
	LINE = 3,
};

const volatile u8 mask = 0x0f;

SX_EXIT_RECORD();
SX_COUNTS_CPUS(f13_byte_of_cpus)

void SX_OP(f13_byte_of_cpus_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, LINE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f13_byte_of_cpus_dispatch, s32 cpu, struct task_struct *prev)
{
	if (cpu < 8 && (mask & (1 << cpu)))
		sx_move_to_local(LINE);
}

s32 SX_OP_SLEEPABLE(f13_byte_of_cpus_init)
{
	return sx_create_dsq(LINE);
}

void SX_OP_SLEEPABLE(f13_byte_of_cpus_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f13_byte_of_cpus,
       .enqueue = (void *)f13_byte_of_cpus_enqueue,
       .dispatch = (void *)f13_byte_of_cpus_dispatch,
       .init = (void *)f13_byte_of_cpus_init,
       .cpu_online = (void *)f13_byte_of_cpus_cpu_online,
       .cpu_offline = (void *)f13_byte_of_cpus_cpu_offline,
       .exit = (void *)f13_byte_of_cpus_exit,
       .timeout_ms = 5000);
