/* SPDX-License-Identifier: Apache-2.0 */
/* measure EXPERIMENT ARGS: see measure.h. A wrong argument ends it with status 2. */
#include "measure.h"

#include <signal.h>
#include <sys/prctl.h>

static const struct {
	const char *name;
	int args;
	void (*run)(char **args);
} experiments[] = {
	{ "count", 1, count },   { "work", 3, work },       { "syscalls", 2, syscalls }, { "switch", 2, switches },
	{ "pingpong", 2, pingpong }, { "wake", 4, wake },   { "refill", 5, refill },     { "chase", 3, chase },
	{ "stream", 3, stream }, { "beyond", 4, beyond },  { "evict", 4, evict },
};

int main(int argc, char **argv)
{
	pid_t parent = getppid();

	/* Whoever asked and was killed wants no answer. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return 4;
	for (size_t i = 0; argc > 1 && i < sizeof(experiments) / sizeof(*experiments); i++) {
		if (strcmp(argv[1], experiments[i].name))
			continue;
		if (argc - 2 < experiments[i].args)
			break;
		parts_prepare();
		experiments[i].run(argv + 2);
		return 0;
	}
	errx(2, "no such experiment, or too few arguments");
}
