/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking a task from the middle of a queue: for policies whose next task is not always the first. */
#ifndef SX_PRIMITIVE_PICK_H
#define SX_PRIMITIVE_PICK_H

#include "sx/sx.h"

/* 6.13 and later; 6.12 */
bool scx_bpf_dsq_move___sx(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dispatch_from_dsq___sx(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
				    u64 enq_flags) __ksym __weak;

/* Within bpf_for_each(scx_dsq, p, ...), from dispatch: run p here next. Ask sx_can_run_on first; false if it has gone. */
#define sx_move_found_to_local(p)                                                                                      \
	(bpf_ksym_exists(scx_bpf_dsq_move___sx) ? scx_bpf_dsq_move___sx(&___it, p, SX_DSQ_LOCAL, 0) :                  \
						  scx_bpf_dispatch_from_dsq___sx(&___it, p, SX_DSQ_LOCAL, 0))

#endif
