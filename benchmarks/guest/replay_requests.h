/* SPDX-License-Identifier: Apache-2.0 */
/* How long requests take, from task to task (replay_waits.h says what one is). Only part of replay.c. */
#ifndef BENCHMARKS_REPLAY_REQUESTS_H
#define BENCHMARKS_REPLAY_REQUESTS_H

static void answer(const struct request *request, uint32_t *answered)
{
	uint64_t took_ns = now_ns() - request->since_ns;

	if (request->since_ns)
		*answered = took_ns < NO_SAMPLE ? (uint32_t)took_ns : NO_SAMPLE - 1; /* 4.29 s or more */
}

/* At the end of a task's turn. Who has woken somebody has handed its request on. */
static void end_turn(struct task *me, uint32_t *answered)
{
	if (!me->passed_on)
		answer(&me->request, answered);
}

/* Woken by another task, or found that it had been: with what that one was at. */
static void take_over(struct task *me, const struct edge *edge, uint32_t *answered)
{
	bool comes_back = edge->request.since_ns && edge->request.by == me->number;

	if (comes_back)
		answer(&edge->request, answered);
	/* What follows an answer is the next request once it wakes somebody, and else the end of this one. */
	me->passed_on = comes_back;
	me->request = edge->request;
	if (comes_back || !edge->request.since_ns)
		me->request = (struct request){comes_back ? now_ns() : edge->woken_ns, me->number};
}

#endif
