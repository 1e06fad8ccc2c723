// SPDX-License-Identifier: Apache-2.0
/* The virtio port to the host: the job comes in on it, one JSON line per event goes out. The console is another device. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT "/dev/vport0p1"

static int port_fd = -1;
static char chunk[65536];
static size_t chunk_len, chunk_pos;

int port_open(void)
{
	int tries;

	/* The device is probed while init already runs. */
	for (tries = 0; tries < 500; tries++) {
		port_fd = open(PORT, O_RDWR | O_CLOEXEC);
		if (port_fd >= 0)
			return 0;
		usleep(10000);
	}
	return -1;
}

static bool refill(void)
{
	ssize_t n;

	do
		n = read(port_fd, chunk, sizeof(chunk));
	while (n < 0 && errno == EINTR);
	chunk_pos = 0;
	chunk_len = n > 0 ? (size_t)n : 0;
	return chunk_len > 0;
}

char *port_line(void)
{
	struct text line = { .limit = 1 << 20 };

	for (;;) {
		char *end;
		size_t len;

		if (chunk_pos == chunk_len && !refill())
			return NULL;
		end = memchr(chunk + chunk_pos, '\n', chunk_len - chunk_pos);
		len = (end ? (size_t)(end - chunk) : chunk_len) - chunk_pos;
		text_add(&line, chunk + chunk_pos, len);
		chunk_pos += len + (end != NULL);
		if (end) {
			text_add(&line, "", 1);
			return line.data;
		}
	}
}

bool port_file(const char *path, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	if (fd < 0)
		return false;
	while (size) {
		size_t len;

		if (chunk_pos == chunk_len && !refill())
			break;
		len = chunk_len - chunk_pos < size ? chunk_len - chunk_pos : size;
		if (write(fd, chunk + chunk_pos, len) != (ssize_t)len)
			break;
		chunk_pos += len;
		size -= len;
	}
	close(fd);
	return size == 0;
}

void port_send(const struct text *line)
{
	size_t sent = 0;

	while (sent < line->len) {
		ssize_t n = write(port_fd, line->data + sent, line->len - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;		/* the host is gone: port_host_gone() will say so */
		sent += n;
	}
}

bool port_host_gone(void)
{
	struct pollfd p = { .fd = port_fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}
