/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process pays when it comes back onto a CPU where another was: the same natively and in a guest, where the clock
 * charges for it by the working sets that both tell (docs/fidelity.md).
 */
#include "measure.h"

#define now_ns work_now_ns /* the same as ours */
#include "../guest/work.h"
#undef now_ns

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PASSES 3

static int there[2], back[2];

static void must(ssize_t done)
{
	if (done < 0)
		err(4, "a system call");
}

static struct lines set_of(size_t kib)
{
	struct lines lines = { 0 };

	work_tell_footprint(kib ? kib : 4);
	if (kib) {
		lines = lines_of(kib);
		chain(&lines, CHAINS);
	}
	return lines;
}

static uint64_t pass_ns(const struct lines *lines)
{
	return lines->count ? read_ns(lines) : 0;
}

static void other(size_t kib)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct lines lines = set_of(kib);

	while (read(there[0], &byte, 1) == 1) {
		uint64_t at;

		for (int i = 0; i < PASSES; i++)
			pass_ns(&lines);
		at = now_ns();
		must(write(back[1], &at, sizeof(at)));
	}
	_exit(0);
}

void evict(char **args)
{
	int reps = atoi(args[3]);
	char byte = 0;

	pin(atoi(args[0]));
	must(pipe(there));
	must(pipe(back));
	pid_t child = fork();

	if (child < 0)
		err(4, "fork");
	if (!child)
		other(strtoul(args[2], NULL, 10));
	struct lines lines = set_of(strtoul(args[1], NULL, 10));

	for (int rep = -3; rep < reps; rep++) {
		uint64_t sent, cold, warm = 0;

		must(write(there[1], &byte, 1));
		must(read(back[0], &sent, sizeof(sent)));
		pass_ns(&lines);
		cold = now_ns() - sent;
		for (int i = 0; i < PASSES; i++)
			warm = pass_ns(&lines);
		if (rep >= 0)
			sample((double)cold - (double)warm);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
