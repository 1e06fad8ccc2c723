/* SPDX-License-Identifier: Apache-2.0 */
/* What a replay's tasks wait for: each other, along the trace's edges, and time. Only part of replay.c. */
#ifndef BENCHMARKS_REPLAY_WAITS_H
#define BENCHMARKS_REPLAY_WAITS_H

enum { EDGE_OPEN, EDGE_WAITED, EDGE_WOKEN };

/*
 * A request on its way: since when, and by which task's waking it began. A task has one from when it is woken; who it
 * wakes takes it over. It is answered when it comes back to the task that it began with, or at a task that goes to
 * sleep or ends without having woken anybody.
 */
struct request {
	uint64_t since_ns; /* 0: none */
	uint32_t by;
};

struct edge {
	_Atomic uint32_t state; /* a futex */
	uint64_t woken_ns;
	struct request request;
};

static long futex(_Atomic uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* True if somebody waited. */
static bool wake(struct edge *edge)
{
	edge->woken_ns = now_ns();
	if (atomic_exchange(&edge->state, EDGE_WOKEN) != EDGE_WAITED)
		return false;
	futex(&edge->state, FUTEX_WAKE, 1);
	return true;
}

/* True if the task had to wait. */
static bool wait_for(struct edge *edge, uint32_t *delay)
{
	uint32_t open = EDGE_OPEN;

	if (!atomic_compare_exchange_strong(&edge->state, &open, EDGE_WAITED))
		return false;
	while (atomic_load(&edge->state) != EDGE_WOKEN)
		futex(&edge->state, FUTEX_WAIT, EDGE_WAITED);
	*delay = (uint32_t)(now_ns() - edge->woken_ns);
	return true;
}

/* Returns when it was to end. */
static uint64_t sleep_us(uint64_t us, uint32_t *delay)
{
	uint64_t deadline = now_ns() + us * 1000;
	struct timespec t = {.tv_sec = (time_t)(deadline / 1000000000ULL), .tv_nsec = (long)(deadline % 1000000000ULL)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
	*delay = (uint32_t)(now_ns() - deadline);
	return deadline;
}

#endif
