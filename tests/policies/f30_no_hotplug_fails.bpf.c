// fails: object: cpu_online
// bug: F30, with --require hotplug
// SPDX-License-Identifier: GPL-2.0-only
/* Without callbacks for CPUs that come and go the first hotplug ends the policy. */
#include "sx/sx.h"
#include "primitives/idle.bpf.h"

enum f30_no_hotplug_dsq {
	QUEUE = 0,
};

SX_EXIT_RECORD();

s32 SX_OP(f30_no_hotplug_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return sx_place_on_idle_cpu(p, prev_cpu, wake_flags, SCX_SLICE_DFL);
}

void SX_OP(f30_no_hotplug_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
	sx_wake_idle_cpu_for(p);
}

void SX_OP(f30_no_hotplug_dispatch, s32 cpu, struct task_struct *prev)
{
	sx_move_to_local(QUEUE);
}

s32 SX_OP_SLEEPABLE(f30_no_hotplug_init)
{
	return sx_create_dsq(QUEUE);
}

void SX_OP_SLEEPABLE(f30_no_hotplug_exit, struct scx_exit_info *ei)
{
	sx_record_exit(&sx_exit, ei);
}

SX_OPS(f30_no_hotplug,
       .select_cpu = (void *)f30_no_hotplug_select_cpu,
       .enqueue = (void *)f30_no_hotplug_enqueue,
       .dispatch = (void *)f30_no_hotplug_dispatch,
       .init = (void *)f30_no_hotplug_init,
       .exit = (void *)f30_no_hotplug_exit,
       .timeout_ms = 5000);
