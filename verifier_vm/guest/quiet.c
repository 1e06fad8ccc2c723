// SPDX-License-Identifier: Apache-2.0
/* What the guest's kernel does by itself in virtual time: how soon it says that it is stuck, and that it sleeps when init does. */
#include "guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * In virtual time nobody is late for the host's sake: a kernel that is stuck says so after seconds, not after twenty of them,
 * which the host would have to emulate.
 */
void be_impatient(void)
{
	static const struct { const char *path, *value; } settings[] = {
		{ "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", "4" }, { "/proc/sys/kernel/watchdog_thresh", "2" },
	};
	const char *clock = getenv("SCHEDCP_CLOCK");

	for (size_t i = 0; clock && !strcmp(clock, "virtual") && i < sizeof(settings) / sizeof(settings[0]); i++) {
		int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			fprintf(stderr, "init: cannot set %s: %m\n", settings[i].path);
		if (fd >= 0)
			close(fd);
	}
}

/*
 * What wakes an idle kernel every second, off, and then as it was: with it an hour takes the host six times as long. Whoever
 * lacks one of these is not quite as quiet.
 */
void be_quiet(bool quiet)
{
	static struct { const char *path, *value; char was[16]; } settings[] = {
		{ .path = "/proc/sys/kernel/watchdog", .value = "0" },
		{ .path = "/proc/sys/vm/compaction_proactiveness", .value = "0" },
		{ .path = "/proc/sys/vm/stat_interval", .value = "3600" },
		{ .path = "/sys/module/damon_stat/parameters/enabled", .value = "N" },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		int fd = open(settings[i].path, O_RDWR | O_CLOEXEC);
		const char *value = quiet ? settings[i].value : settings[i].was;

		if (fd >= 0 && quiet) {
			ssize_t n = read(fd, settings[i].was, sizeof(settings[i].was) - 1);

			settings[i].was[n > 0 ? n : 0] = '\0';
		}
		if (fd >= 0 && *value && pwrite(fd, value, strlen(value), 0) < 0)
			fprintf(stderr, "init: cannot set %s: %m\n", settings[i].path);
		if (fd >= 0)
			close(fd);
	}
}

/* In virtual time an idle guest's hours take the host seconds, and then its kernel has been up for that long. */
bool step_rest(const struct step *s)
{
	struct timespec left = { .tv_sec = s->argc ? atol(s->argv[0]) : 0 };
	bool quiet = s->argc > 1, rested;

	if (left.tv_sec <= 0)
		return false;
	if (quiet)
		be_quiet(true);
	rested = !nanosleep(&left, NULL);
	if (quiet)
		be_quiet(false);
	return rested;
}
