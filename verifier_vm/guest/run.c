// SPDX-License-Identifier: Apache-2.0
/* The step `run PROGRAM ARG…`: runs it in its own cgroup, watches what is attached meanwhile, ends it at the deadline. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP "/sys/fs/cgroup/job"
#define OUTPUT_LIMIT (1 << 20)
#define SAMPLE_MS 50
#define KILL_GRACE_MS 5000

struct run {
	pid_t pid;
	int out, err, pidfd;
	struct text out_text, err_text;
	struct sched_state before, after;
	int samples, attached;
	bool timed_out;
	int status;
};

static void write_string(const char *path, const char *s)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, s, strlen(s)) < 0)
		fprintf(stderr, "init: cannot write '%s' to %s: %m\n", s, path);
	if (fd >= 0)
		close(fd);
}

static void child(const struct step *s, int out, int err)
{
	char path[160];

	setsid();
	write_string(CGROUP "/cgroup.procs", "0");
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	if (chdir("/job"))
		_exit(126);
	snprintf(path, sizeof(path), "/bin/%s", s->argv[0]);
	execv(path, s->argv);
	snprintf(path, sizeof(path), "/job/%s", s->argv[0]);
	execv(path, s->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", s->argv[0], strerror(errno));
	_exit(127);
}

static bool start(struct run *r, const struct step *s)
{
	int out[2], err[2];

	mkdir(CGROUP, 0755);
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return false;
	r->pid = fork();
	if (r->pid == 0)
		child(s, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	fcntl(r->err, F_SETFL, O_NONBLOCK);
	r->pidfd = syscall(SYS_pidfd_open, r->pid, 0);
	return r->pid > 0 && r->pidfd >= 0;
}

static void drain(int fd, struct text *into)
{
	char buf[16384];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		text_add(into, buf, n);
}

static bool same(const struct sched_state *a, const struct sched_state *b)
{
	return !strcmp(a->state, b->state) && !strcmp(a->ops, b->ops) && a->enable_seq == b->enable_seq;
}

static void watch(struct run *r, uint64_t deadline)
{
	struct pollfd fds[] = { { .fd = r->pidfd, .events = POLLIN }, { .fd = r->out, .events = POLLIN },
				{ .fd = r->err, .events = POLLIN } };
	uint64_t next_sample = now_ns();

	while (!(fds[0].revents & POLLIN)) {
		if (now_ns() >= next_sample) {
			sched_state_read(&r->after);
			r->samples++;
			r->attached += same(&r->before, &r->after);
			next_sample = now_ns() + SAMPLE_MS * 1000000ull;
			/* Fallen off, out of time, or nobody left to tell: no reason to let it run on. */
			r->timed_out = now_ns() > deadline;
			if (!same(&r->before, &r->after) || r->timed_out || port_host_gone())
				return;
		}
		poll(fds, 3, SAMPLE_MS);
		drain(r->out, &r->out_text);
		drain(r->err, &r->err_text);
		/* A program that closes its output would make poll() return at once until it exits. */
		for (int i = 1; i < 3; i++)
			if (fds[i].revents & POLLHUP)
				fds[i].fd = -1;
	}
}

static bool cgroup_empty(void)
{
	char events[256];
	int fd = open(CGROUP "/cgroup.events", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, events, sizeof(events) - 1) : -1;

	if (fd >= 0)
		close(fd);
	events[n > 0 ? n : 0] = '\0';
	return !strstr(events, "populated 1");
}

/* Ends whatever the program left behind, and reaps it; false if something would not die. */
static bool end_all(struct run *r)
{
	uint64_t limit = now_ns() + KILL_GRACE_MS * 1000000ull;

	write_string(CGROUP "/cgroup.kill", "1");
	r->status = -1;
	while (now_ns() < limit) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid == r->pid)
			r->status = status;
		if (pid <= 0) {
			if (cgroup_empty() && r->status != -1)
				return true;
			usleep(1000);
		}
	}
	return false;
}

static void report(const struct run *r, struct text *event, bool ended)
{
	bool exited = r->status != -1 && WIFEXITED(r->status);

	text_printf(event, "\"exit\":%d,\"signal\":%d,", exited ? WEXITSTATUS(r->status) : -1,
		    r->status != -1 && WIFSIGNALED(r->status) ? WTERMSIG(r->status) : 0);
	text_printf(event, "\"timed_out\":%s,\"ended\":%s,\"out\":", r->timed_out ? "true" : "false",
		    ended ? "true" : "false");
	text_json(event, r->out_text.data, r->out_text.len);
	text_printf(event, ",\"err\":");
	text_json(event, r->err_text.data, r->err_text.len);
	text_printf(event, ",\"dropped\":%zu,\"sched\":{\"before\":", r->out_text.dropped + r->err_text.dropped);
	sched_state_json(event, &r->before);
	text_printf(event, ",\"after\":");
	sched_state_json(event, &r->after);
	text_printf(event, ",\"samples\":%d,\"attached\":%d},", r->samples, r->attached);
}

bool step_run(const struct step *s, struct text *event)
{
	struct run r = { .out_text.limit = OUTPUT_LIMIT, .err_text.limit = OUTPUT_LIMIT / 16 };
	bool ended, steady;

	sched_state_read(&r.before);
	if (!start(&r, s)) {
		text_printf(event, "\"err\":\"cannot start: %s\",", strerror(errno));
		return false;
	}
	watch(&r, now_ns() + s->timeout_ms * 1000000ull);
	/* Read before the killing starts, which is not part of the measurement. */
	sched_state_read(&r.after);
	ended = end_all(&r);
	drain(r.out, &r.out_text);
	drain(r.err, &r.err_text);
	close(r.out);
	close(r.err);
	close(r.pidfd);
	report(&r, event, ended);
	steady = same(&r.before, &r.after) && r.attached == r.samples;
	if (attached_state())
		steady = steady && same(attached_state(), &r.after);
	text_free(&r.out_text);
	text_free(&r.err_text);
	return steady && ended && !r.timed_out && r.status != -1 && WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0;
}
