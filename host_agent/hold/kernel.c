// SPDX-License-Identifier: Apache-2.0
/* What the kernel says of the policy that is attached. */
#include "hold.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void read_line(const char *sys, const char *name, char *into, size_t size)
{
	char path[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/kernel/sched_ext/%s", sys, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, into, size - 1) : 0;
	if (fd >= 0)
		close(fd);
	into[n > 0 ? n : 0] = '\0';
	into[strcspn(into, "\n")] = '\0';
}

void read_scx(const char *sys, struct scx *scx)
{
	char seq[32];

	read_line(sys, "state", scx->state, sizeof(scx->state));
	read_line(sys, "root/ops", scx->ops, sizeof(scx->ops));
	read_line(sys, "enable_seq", seq, sizeof(seq));
	scx->enable_seq = strtoul(seq, NULL, 10);
}

bool scx_is(const struct scx *scx, const char *ops, unsigned long enable_seq)
{
	return !strcmp(scx->state, "enabled") && !strcmp(scx->ops, ops) && scx->enable_seq == enable_seq;
}
