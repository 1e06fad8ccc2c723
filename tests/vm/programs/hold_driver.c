// SPDX-License-Identifier: Apache-2.0
/*
 * hold_driver HOLD SCENARIO OBJECT [WORD…]: what the agent is to schedcp-hold. Attaches, holds for longer than a lease, does
 * what the scenario says, and prints the holder's events and how long it took until the kernel had no policy.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATE "/sys/kernel/sched_ext/state"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int state_is(const char *wanted)
{
	char text[16] = "";
	int fd = open(STATE, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return !strncmp(text, wanted, strlen(wanted));
}

static void show(int fd, int timeout_ms)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	char text[8192];
	ssize_t n;

	while (poll(&readable, 1, timeout_ms) > 0 && (n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
		fwrite(text, 1, n, stdout);
		if (memchr(text, '\n', n))
			break;
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char *words[32] = { argv[1], "--lease-ms=500", "--stop=/tmp/stop", NULL };
	char object[256];
	int pair[2], i, n = 3, status = 0;
	const char *scenario;
	double began;
	pid_t pid;

	if (argc < 4 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 2;
	scenario = argv[2];
	snprintf(object, sizeof(object), "--object=%s", argv[3]);
	words[n++] = object;
	if (!strcmp(scenario, "shadow"))
		words[n++] = "--shadow";
	words[n++] = "--";
	for (i = 4; i < argc && n < 31; i++)
		words[n++] = argv[i];
	words[n] = NULL;
	if (!(pid = fork())) {
		dup2(pair[1], 0);
		dup2(pair[1], 1);
		close(pair[0]);
		close(pair[1]);
		setsid();
		execv(words[0], words);
		_exit(127);
	}
	close(pair[1]);
	show(pair[0], 20000);
	for (i = 0; i < 8 && state_is("enabled"); i++) {
		send(pair[0], "r", 1, MSG_NOSIGNAL);
		usleep(100000);
	}
	printf("{\"held\":%d}\n", state_is("enabled"));
	if (!strcmp(scenario, "count")) {
		send(pair[0], "s", 1, MSG_NOSIGNAL);
		show(pair[0], 2000);
	}
	began = now();
	if (!strcmp(scenario, "detach") || !strcmp(scenario, "count"))
		send(pair[0], "d", 1, MSG_NOSIGNAL);
	else if (!strcmp(scenario, "close"))
		shutdown(pair[0], SHUT_WR);
	else if (!strcmp(scenario, "kill"))
		kill(pid, SIGKILL);
	else if (!strcmp(scenario, "term"))
		kill(pid, SIGTERM);
	else if (!strcmp(scenario, "stop"))
		close(open("/tmp/stop", O_CREAT | O_WRONLY, 0600));
	while (!state_is("disabled") && now() - began < 5)
		usleep(1000);
	printf("{\"off_s\":%.3f}\n", now() - began);
	show(pair[0], 2000);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	unlink("/tmp/stop");
	printf("{\"status\":%d}\n", status);
	return !state_is("disabled");
}
