// SPDX-License-Identifier: Apache-2.0
/*
 * The step `run PROGRAM ARG…`: runs it in its own cgroup, watches what is attached meanwhile, ends it at the deadline; and
 * `start PROGRAM ARG…` with `stop`: the same, beside the steps between the two, and watched by nobody.
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CGROUP "/sys/fs/cgroup/job"
#define BESIDE "/sys/fs/cgroup/beside"
#define OUTPUT_LIMIT (1 << 20)
#define SAMPLE_MS 50

static bool same(const struct sched_state *a, const struct sched_state *b)
{
	return !strcmp(a->state, b->state) && !strcmp(a->ops, b->ops) && a->enable_seq == b->enable_seq;
}

static void watch(struct run *r, uint64_t deadline)
{
	struct pollfd fds[] = { { .fd = r->pidfd, .events = POLLIN }, { .fd = r->out, .events = POLLIN },
				{ .fd = r->err, .events = POLLIN } };
	uint64_t began = now_ns(), next_sample = began;
	int wait_ms = SAMPLE_MS;

	while (!(fds[0].revents & POLLIN)) {
		if (now_ns() >= next_sample) {
			sched_state_read(&r->after);
			r->samples++;
			r->attached += same(&r->before, &r->after);
			/* The longer it has gone on, the less often: a run that rests for hours costs what it wakes. */
			wait_ms = (now_ns() - began) / 200000000;
			wait_ms = wait_ms > SAMPLE_MS ? wait_ms : SAMPLE_MS;
			next_sample = now_ns() + wait_ms * 1000000ull;
			/* Fallen off, out of time, or nobody left to tell: no reason to let it run on. */
			r->timed_out = now_ns() > deadline;
			if (!same(&r->before, &r->after) || r->timed_out || port_host_gone())
				return;
		}
		poll(fds, 3, wait_ms);
		drain(r->out, &r->out_text);
		drain(r->err, &r->err_text);
		/* A program that closes its output would make poll() return at once until it exits. */
		for (int i = 1; i < 3; i++)
			if (fds[i].revents & POLLHUP)
				fds[i].fd = -1;
	}
}

bool step_run(const struct step *s, struct text *event)
{
	struct run r = { .cgroup = CGROUP, .status = -1, .out_text.limit = OUTPUT_LIMIT, .err_text.limit = OUTPUT_LIMIT / 16 };
	bool ended, steady;

	sched_state_read(&r.before);
	sched_events_json(&r.events_before);
	if (!start_run(&r, s)) {
		text_printf(event, "\"err\":\"cannot start: %s\",", strerror(errno));
		return false;
	}
	watch(&r, now_ns() + s->timeout_ms * 1000000ull);
	/* Read before the killing starts, which is not part of the measurement. */
	sched_state_read(&r.after);
	sched_events_json(&r.events_after);
	ask_to_end(&r);
	ended = end_all(&r);
	steady = same(&r.before, &r.after) && r.attached == r.samples;
	if (attached_state())
		steady = steady && same(attached_state(), &r.after);
	finish_run(&r, event, ended);
	return steady && ended && !r.timed_out && exited_well(&r);
}

bool step_start(const struct step *s, struct text *event)
{
	if (beside.pid > 0) {
		text_printf(event, "\"err\":\"something runs beside already\",");
		return false;
	}
	beside = (struct run){ .cgroup = BESIDE, .status = -1, .out_text.limit = OUTPUT_LIMIT,
			       .err_text.limit = OUTPUT_LIMIT / 16 };
	sched_state_read(&beside.before);
	sched_events_json(&beside.events_before);
	if (start_run(&beside, s))
		return true;
	text_printf(event, "\"err\":\"cannot start: %s\",", strerror(errno));
	beside.pid = -1;
	return false;
}

/* Killing it is how it is meant to end: its status says nothing. */
bool step_stop(struct text *event)
{
	bool ended;

	if (beside.pid <= 0)
		return false;
	sched_state_read(&beside.after);
	sched_events_json(&beside.events_after);
	ended = end_all(&beside);
	finish_run(&beside, event, ended);
	beside.pid = -1;
	return ended;
}
