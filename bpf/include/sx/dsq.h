/* SPDX-License-Identifier: GPL-2.0-only */
/* Dispatch queues: creating, filling, emptying and looking into them. */
#ifndef SX_DSQ_H
#define SX_DSQ_H

/* Where a task may be inserted besides a queue of one's own. Ids never changed between kernels, so they are constants. */
#define SX_DSQ_LOCAL SCX_DSQ_LOCAL
#define SX_DSQ_GLOBAL SCX_DSQ_GLOBAL
#define SX_DSQ_LOCAL_ON SCX_DSQ_LOCAL_ON

/* Enqueue flags did move (HEAD and CPU_SELECTED are the core scheduler's own bits): read them from the running kernel. */
#define SX_ENQ_WAKEUP bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_WAKEUP)
#define SX_ENQ_HEAD bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_HEAD)
#define SX_ENQ_PREEMPT bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_PREEMPT)
#define SX_ENQ_LAST bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_LAST)
#define SX_DEQ_SLEEP bpf_core_enum_value(enum scx_deq_flags, SCX_DEQ_SLEEP)

s32 scx_bpf_create_dsq___sx(u64 dsq_id, s32 node) __ksym __weak;
void scx_bpf_destroy_dsq___sx(u64 dsq_id) __ksym __weak;
s32 scx_bpf_dsq_nr_queued___sx(u64 dsq_id) __ksym __weak;
struct task_struct *scx_bpf_dsq_peek___sx(u64 dsq_id) __ksym __weak;

/* 6.19 and later; 6.13 and later; 6.12 */
bool scx_bpf_dsq_insert___v2___sx(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert___sx(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch___sx(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;

/* 6.19 and later; 6.13 and later; 6.12 */
bool __scx_bpf_dsq_insert_vtime___sx(struct task_struct *p, struct scx_bpf_dsq_insert_vtime_args *args) __ksym __weak;
void scx_bpf_dsq_insert_vtime___sx(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch_vtime___sx(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;

/* 7.1 and later; 6.13 and later; 6.12 */
bool scx_bpf_dsq_move_to_local___v2___sx(u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_to_local___sx(u64 dsq_id) __ksym __weak;
bool scx_bpf_consume___sx(u64 dsq_id) __ksym __weak;

/* For bpf_for_each(scx_dsq, task, dsq_id, flags). */
extern int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, u64 dsq_id, u64 flags) __weak __ksym;
extern struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __weak __ksym;
extern void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __weak __ksym;

/* Make a queue. Sleepable callbacks only; 0, or -EEXIST and the like: pass the error on from init. */
static __always_inline s32 sx_create_dsq(u64 dsq_id)
{
	return scx_bpf_create_dsq___sx(dsq_id, -1);
}

/* Rarely needed: the kernel frees the queues that are left when a policy goes. */
static __always_inline void sx_destroy_dsq(u64 dsq_id)
{
	scx_bpf_destroy_dsq___sx(dsq_id);
}

/* How many tasks wait in a queue; a negative errno if there is no such queue. */
static __always_inline s32 sx_dsq_nr_queued(u64 dsq_id)
{
	return scx_bpf_dsq_nr_queued___sx(dsq_id);
}

/* Can the kernel show a queue's first task? From 6.19 on. */
static __always_inline bool sx_can_peek(void)
{
	return bpf_ksym_exists(scx_bpf_dsq_peek___sx);
}

/* The first task of a queue of one's own, without moving it; NULL if it is empty, or on kernels before 6.19. */
static __always_inline struct task_struct *sx_dsq_peek(u64 dsq_id)
{
	return sx_can_peek() ? scx_bpf_dsq_peek___sx(dsq_id) : NULL;
}

/* Append a task to a queue, to run for up to slice ns when its turn comes. */
static __always_inline void sx_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v2___sx))
		scx_bpf_dsq_insert___v2___sx(p, dsq_id, slice, enq_flags);
	else if (bpf_ksym_exists(scx_bpf_dsq_insert___sx))
		scx_bpf_dsq_insert___sx(p, dsq_id, slice, enq_flags);
	else
		scx_bpf_dispatch___sx(p, dsq_id, slice, enq_flags);
}

/*
 * Insert a task in order of vtime (smallest first, compared with wrap). Own queues only, and a queue holds either
 * ordered or appended tasks, never both. On 7.3 p->scx.dsq_vtime still has the old value right after this call.
 */
static __always_inline void sx_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags)
{
	if (bpf_ksym_exists(__scx_bpf_dsq_insert_vtime___sx)) {
		struct scx_bpf_dsq_insert_vtime_args args = {
			.dsq_id = dsq_id,
			.slice = slice,
			.vtime = vtime,
			.enq_flags = enq_flags,
		};

		__scx_bpf_dsq_insert_vtime___sx(p, &args);
	} else if (bpf_ksym_exists(scx_bpf_dsq_insert_vtime___sx)) {
		scx_bpf_dsq_insert_vtime___sx(p, dsq_id, slice, vtime, enq_flags);
	} else {
		scx_bpf_dispatch_vtime___sx(p, dsq_id, slice, vtime, enq_flags);
	}
}

/* From dispatch: take the first task of a queue that may run on this CPU; false if there is none. */
static __always_inline bool sx_move_to_local(u64 dsq_id)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2___sx))
		return scx_bpf_dsq_move_to_local___v2___sx(dsq_id, 0);
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___sx))
		return scx_bpf_dsq_move_to_local___sx(dsq_id);
	return scx_bpf_consume___sx(dsq_id);
}

#endif
