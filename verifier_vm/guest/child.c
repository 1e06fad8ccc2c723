// SPDX-License-Identifier: Apache-2.0
/* A program in a cgroup of its own, from fork() to the last of what it left behind. */
#include "run.h"

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

#define KILL_GRACE_MS 5000
#define LAST_WORDS_MS 300		/* to begin with them, and from one to the next */
#define MOST_WORDS_MS 5000

struct run beside = { .pid = -1 };

static void write_string(const char *path, const char *s)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, s, strlen(s)) < 0)
		fprintf(stderr, "init: cannot write '%s' to %s: %m\n", s, path);
	if (fd >= 0)
		close(fd);
}

static void write_to_cgroup(const struct run *r, const char *file, const char *s)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", r->cgroup, file);
	write_string(path, s);
}

static void child(const struct run *r, const struct step *s, int out, int err)
{
	char path[160];

	setsid();
	write_to_cgroup(r, "cgroup.procs", "0");
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

bool start_run(struct run *r, const struct step *s)
{
	int out[2], err[2];

	mkdir(r->cgroup, 0755);
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return false;
	r->pid = fork();
	if (r->pid == 0)
		child(r, s, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	fcntl(r->err, F_SETFL, O_NONBLOCK);
	r->pidfd = syscall(SYS_pidfd_open, r->pid, 0);
	return r->pid > 0 && r->pidfd >= 0;
}

void drain(int fd, struct text *into)
{
	char buf[16384];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		text_add(into, buf, n);
}

/* A program that was not done may say what it saw until now, if it does so at once. */
void ask_to_end(struct run *r)
{
	struct pollfd fds[] = { { .fd = r->pidfd, .events = POLLIN }, { .fd = r->out, .events = POLLIN } };
	uint64_t limit = now_ns() + MOST_WORDS_MS * 1000000ull;

	if (poll(fds, 1, 0))
		return;
	kill(r->pid, SIGTERM);
	while (now_ns() < limit && poll(fds, 2, LAST_WORDS_MS) > 0 && !fds[0].revents && !(fds[1].revents & POLLHUP))
		drain(r->out, &r->out_text);
}

static bool cgroup_empty(const struct run *r)
{
	char path[96], events[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.events", r->cgroup);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, events, sizeof(events) - 1) : -1;
	if (fd >= 0)
		close(fd);
	events[n > 0 ? n : 0] = '\0';
	return !strstr(events, "populated 1");
}

/* Ends whatever the program left behind, and reaps it; false if something would not die. */
bool end_all(struct run *r)
{
	uint64_t limit = now_ns() + KILL_GRACE_MS * 1000000ull;

	write_to_cgroup(r, "cgroup.kill", "1");
	while (now_ns() < limit) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid == r->pid)
			r->status = status;
		else if (pid > 0 && pid == beside.pid)
			beside.status = status;
		if (pid <= 0) {
			if (cgroup_empty(r) && r->status != -1)
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
	text_printf(event, "\"events\":{\"before\":");
	text_add(event, r->events_before.data, r->events_before.len);
	text_printf(event, ",\"after\":");
	text_add(event, r->events_after.data, r->events_after.len);
	text_printf(event, "},");
}

void finish_run(struct run *r, struct text *event, bool ended)
{
	drain(r->out, &r->out_text);
	drain(r->err, &r->err_text);
	close(r->out);
	close(r->err);
	close(r->pidfd);
	report(r, event, ended);
	text_free(&r->out_text);
	text_free(&r->err_text);
	text_free(&r->events_before);
	text_free(&r->events_after);
}

bool exited_well(const struct run *r)
{
	return r->status != -1 && WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0;
}
