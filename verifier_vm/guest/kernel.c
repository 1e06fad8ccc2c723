// SPDX-License-Identifier: Apache-2.0
/* What the kernel says of itself: its log since the last step, and the state of sched_ext. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SCX "/sys/kernel/sched_ext/"
#define KMSG_LINES 200

static int kmsg_fd = -1;

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

unsigned long long kernel_symbol(const char *name)
{
	static unsigned long long known;	/* reading the table takes a while, and init asks for one symbol */
	unsigned long long address;
	char line[512], symbol[256];
	FILE *file = known ? NULL : fopen("/proc/kallsyms", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %*c %255s", &address, symbol) == 2 && !strcmp(symbol, name)) {
			known = address;
			break;
		}
	}
	if (file)
		fclose(file);
	return known;
}

void kmsg_open(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd >= 0)
		lseek(kmsg_fd, 0, SEEK_END);
}

void kmsg_json(struct text *t)
{
	char record[8192];
	int lines = 0;
	ssize_t n;

	text_printf(t, "\"kmsg\":[");
	/* A record is "priority,sequence,time,flags;message\n continuation…"; -EPIPE means some were overwritten. */
	while ((n = read(kmsg_fd, record, sizeof(record) - 1)) != 0 && lines < KMSG_LINES) {
		char *message, *end;

		if (n < 0) {
			if (errno == EPIPE)
				continue;
			break;
		}
		record[n] = '\0';
		message = strchr(record, ';');
		if (!message)
			continue;
		message++;
		end = strchr(message, '\n');
		if ((atoi(record) & 7) > 4 && !strstr(message, "sched_ext"))
			continue;
		text_add(t, ",", lines++ > 0);
		text_json(t, message, end ? (size_t)(end - message) : strlen(message));
	}
	text_printf(t, "]");
}

static void read_line(const char *path, char *into, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, into, size - 1) : 0;

	if (fd >= 0)
		close(fd);
	into[n > 0 ? n : 0] = '\0';
	into[strcspn(into, "\n")] = '\0';
}

void sched_state_read(struct sched_state *s)
{
	char seq[32];

	read_line(SCX "state", s->state, sizeof(s->state));
	read_line(SCX "root/ops", s->ops, sizeof(s->ops));
	read_line(SCX "enable_seq", seq, sizeof(seq));
	s->enable_seq = strtoul(seq, NULL, 10);
}

bool sched_state_enabled(const struct sched_state *s)
{
	return !strcmp(s->state, "enabled");
}

void sched_state_json(struct text *t, const struct sched_state *s)
{
	text_printf(t, "{\"state\":");
	text_json(t, s->state, strlen(s->state));
	text_printf(t, ",\"ops\":");
	text_json(t, s->ops, strlen(s->ops));
	text_printf(t, ",\"enable_seq\":%lu}", s->enable_seq);
}

/* "NAME value" a line in the kernel's file; an empty object when no policy is on. */
void sched_events_json(struct text *t)
{
	char data[4096], *line, *rest = data;
	int fd = open(SCX "root/events", O_RDONLY | O_CLOEXEC), fields = 0;
	ssize_t n = fd >= 0 ? read(fd, data, sizeof(data) - 1) : 0;

	if (fd >= 0)
		close(fd);
	data[n > 0 ? n : 0] = '\0';
	text_printf(t, "{");
	while ((line = strsep(&rest, "\n"))) {
		char name[64];
		long long value;

		if (sscanf(line, "%63[A-Z_0-9] %lld", name, &value) == 2 && value)
			text_printf(t, "%s\"%s\":%lld", fields++ ? "," : "", name, value);
	}
	text_printf(t, "}");
}
