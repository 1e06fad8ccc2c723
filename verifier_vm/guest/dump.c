// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel wrote down of all CPUs and runnable tasks when it took a policy off for an error: its dump, line by line.
 *
 * The kernel hands the dump to the policy's `exit` and to a tracepoint. The tracepoint is what is read here: a policy need not
 * keep it, and cannot change it. The buffer is an instance of its own, since workloads may trace, too.
 */
#include "guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INSTANCE "/sys/kernel/tracing/instances/dump/"
#define EVENT "events/sched_ext/sched_ext_dump/"
#define MARK "sched_ext_dump: "
#define DUMP_LIMIT (64 << 10)
#define LINE_LIMIT 1200		/* SCX_EXIT_MSG_LEN and what stands before it */

static int pipe_fd = -1;

static void put(const char *file, const char *value)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), INSTANCE "%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fprintf(stderr, "init: cannot set %s: %m\n", path);
	if (fd >= 0)
		close(fd);
}

void dump_open(void)
{
	mkdir(INSTANCE, 0755);
	put("buffer_size_kb", "256");
	put("options/overwrite", "0");	/* a dump that is too long is cut at its end, as the kernel's own is */
	put(EVENT "filter", "!(line ~ \"*+0x*\")");	/* of every task it has a backtrace: most of the dump */
	put(EVENT "enable", "1");
	pipe_fd = open(INSTANCE "trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* The kernel's line without the tracer's words before it. */
static void keep_line(struct text *dump, const char *line, size_t len)
{
	const char *at = memmem(line, len, MARK, strlen(MARK));

	if (!at)
		return;
	at += strlen(MARK);
	text_add(dump, at, line + len - at);
	text_add(dump, "\n", 1);
}

void dump_json(struct text *t)
{
	struct text dump = { .limit = DUMP_LIMIT };
	char data[2 * LINE_LIMIT];
	size_t kept = 0;
	ssize_t n;

	while ((n = read(pipe_fd, data + kept, sizeof(data) - kept)) > 0) {
		char *line = data, *end;

		kept += n;
		while ((end = memchr(line, '\n', data + kept - line))) {
			keep_line(&dump, line, end - line);
			line = end + 1;
		}
		kept -= line - data;
		memmove(data, line, kept);
		if (kept == sizeof(data))
			kept = 0;
	}
	text_printf(t, "\"dump\":");
	text_json(t, dump.data, dump.len);
	text_printf(t, ",");
	text_free(&dump);
}
