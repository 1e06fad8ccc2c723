// SPDX-License-Identifier: Apache-2.0
/*
 * The steps `attach OBJECT KNOB=VALUE…`, `layout` and `detach`.
 *
 * The object is opened by another process, /bin/loader: libbpf parses what somebody else compiled, and if that brings it
 * down the result is a rejection, not a dead guest. The loader holds the policy until its standard input closes.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE_WAIT_MS 10000
#define KILL_TRIES 200
#define LOG_HEAD 16384
#define LOG_TAIL 131072
#define ASK_LAYOUT "l"	/* loader.h has it, too */
#define LAYOUT_MS 20000
#define LAYOUT_LIMIT (8u << 20)

static struct {
	pid_t pid;
	int control, answers, log;	/* the loader's stdin, stdout, stderr */
} loader = { .pid = -1 };
static struct sched_state attached;
static bool is_attached;

const struct sched_state *attached_state(void)
{
	return is_attached ? &attached : NULL;
}

static bool start_loader(const struct step *s)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return false;
	loader.pid = fork();
	if (loader.pid == 0) {
		char *argv[MAX_ARGS + 2] = { "loader" };
		int i;

		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		for (i = 0; i < s->argc; i++)
			argv[i + 1] = s->argv[i];
		if (!chdir("/job"))
			execv("/bin/loader", argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	loader.control = in[1];
	loader.answers = out[0];
	loader.log = err[0];
	fcntl(loader.answers, F_SETFL, O_NONBLOCK);
	fcntl(loader.log, F_SETFL, O_NONBLOCK);
	return loader.pid > 0;
}

/* The kernel verifier's last words count most, and a log can be megabytes: the head and the tail are kept. */
static void keep_ends(struct text *log)
{
	if (log->len <= LOG_HEAD + LOG_TAIL)
		return;
	memcpy(log->data + LOG_HEAD, "\n[...]\n", 7);
	memmove(log->data + LOG_HEAD + 7, log->data + log->len - LOG_TAIL + 7, LOG_TAIL - 7);
	log->len = LOG_HEAD + LOG_TAIL;
}

static bool drain(int fd, struct text *into)
{
	char buf[16384];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		text_add(into, buf, n);
	return n == 0;	/* end of file */
}

/* One line from the loader into `answer`, its log into `log`; false at the deadline or when the loader has ended. */
static bool loader_answers(struct text *answer, struct text *log, uint64_t deadline)
{
	while (now_ns() < deadline && !port_host_gone()) {
		struct pollfd fds[] = { { .fd = loader.answers, .events = POLLIN }, { .fd = loader.log, .events = POLLIN } };
		bool ended;

		poll(fds, 2, 20);
		drain(loader.log, log);
		keep_ends(log);
		ended = drain(loader.answers, answer);
		if (answer->dropped)
			return false;
		if (answer->len && answer->data[answer->len - 1] == '\n') {
			answer->data[--answer->len] = '\0';
			return true;
		}
		if (ended)
			return false;
	}
	return false;
}

#define STILL_RUNNING -1

/* The status with which the loader had ended by itself; STILL_RUNNING if it had to be killed. */
static int end_loader(void)
{
	int status, killed, tries;

	usleep(10000);	/* one that just closed its output is about to be a zombie */
	if (waitpid(loader.pid, &status, WNOHANG) != loader.pid) {
		status = STILL_RUNNING;
		kill(loader.pid, SIGKILL);
		/* Not for ever: a kernel that cannot let a policy go keeps its loader, too. */
		for (tries = 0; tries < KILL_TRIES && waitpid(loader.pid, &killed, WNOHANG) == 0; tries++)
			usleep(10000);
	}
	close(loader.control);
	close(loader.answers);
	close(loader.log);
	loader.pid = -1;
	return status;
}

static bool wait_for(const char *state, struct sched_state *s, int limit_ms)
{
	uint64_t limit = now_ns() + limit_ms * 1000000ull;

	do {
		sched_state_read(s);
		if (!strcmp(s->state, state))
			return true;
		usleep(2000);
	} while (now_ns() < limit);
	return false;
}

static void field(struct text *event, const char *name, const char *value)
{
	text_printf(event, "\"%s\":", name);
	text_json(event, value ? value : "", value ? strlen(value) : 0);
	text_printf(event, ",");
}

bool step_attach(const struct step *s, struct text *event)
{
	struct text answer = { .limit = 4096 }, log = {};
	char *line, *phase = NULL, *ops = NULL;
	bool answered;

	if (is_attached || !start_loader(s)) {
		field(event, "phase", "open");
		field(event, "log", is_attached ? "a policy is attached already" : strerror(errno));
		return false;
	}
	answered = loader_answers(&answer, &log, now_ns() + s->timeout_ms * 1000000ull);
	line = answered ? answer.data : NULL;
	if (line) {
		phase = strsep(&line, "\t");
		ops = line;
	}
	/* Attaching can "succeed" with the policy already dead: only the kernel's own state counts. */
	is_attached = phase && !strcmp(phase, "attached") && wait_for("enabled", &attached, STATE_WAIT_MS) && ops &&
		      !strcmp(attached.ops, ops);
	if (!is_attached)
		sched_state_read(&attached);
	field(event, "phase", phase ? phase : "crash");
	field(event, "ops", ops);
	text_printf(event, "\"enable_seq\":%lu,\"sched\":", attached.enable_seq);
	sched_state_json(event, &attached);
	text_printf(event, ",");
	if (!is_attached) {
		/* Closing its input makes a living loader print the exit record, which tells why the policy died. */
		struct text last = { .limit = 8192 };
		int status;

		close(loader.control);
		loader.control = -1;
		if (phase && !strcmp(phase, "attached") && loader_answers(&last, &log, now_ns() + 2000000000ull))
			field(event, "exit_record", last.data);
		text_free(&last);
		status = end_loader();
		dump_json(event);
		text_printf(event, "\"timed_out\":%s,\"loader_signal\":%d,",
			    !phase && status == STILL_RUNNING ? "true" : "false",
			    status != STILL_RUNNING && WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	text_printf(event, "\"log\":");
	text_json(event, log.data, log.len);
	text_printf(event, ",");
	text_free(&answer);
	text_free(&log);
	return is_attached;
}

/* A layout that does not come is told, and no failure: what the policy does can be seen without. */
bool step_layout(struct text *event)
{
	struct text answer = { .limit = LAYOUT_LIMIT }, log = {};
	bool told;

	if (!is_attached)
		return false;
	told = write(loader.control, ASK_LAYOUT, 1) == 1 && loader_answers(&answer, &log, now_ns() + LAYOUT_MS * 1000000ull);
	text_printf(event, "\"layout\":");
	text_json(event, told ? answer.data : "", told ? answer.len : 0);
	text_printf(event, ",");
	text_free(&answer);
	text_free(&log);
	return true;
}

bool step_detach(struct text *event)
{
	struct text answer = { .limit = 8192 }, log = {};
	struct sched_state s;
	bool told, off;

	if (!is_attached)
		return false;
	close(loader.control);
	loader.control = -1;
	told = loader_answers(&answer, &log, now_ns() + STATE_WAIT_MS * 1000000ull);
	field(event, "exit_record", told ? answer.data : "");
	field(event, "log", log.data ? (text_add(&log, "", 1), log.data) : "");
	end_loader();
	off = wait_for("disabled", &s, STATE_WAIT_MS);
	dump_json(event);
	text_printf(event, "\"sched\":");
	sched_state_json(event, &s);
	text_printf(event, ",");
	is_attached = false;
	text_free(&answer);
	text_free(&log);
	return told && off;
}
