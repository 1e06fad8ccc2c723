// SPDX-License-Identifier: Apache-2.0
/*
 * adversary WORKLOAD [seconds=S] [limit_ms=N] [NAME=VALUE…]: one workload of those that bring a policy's bugs out, called as
 * in docs/bugs.md (W1, W2, …), or `mix`, several at once.
 *
 * Prints one JSON line: per group of threads CPU time, work, scheduling delay and the longest time that one of them went
 * without progress (which ends it when above limit_ms), and figures of the workload's own. It judges nothing.
 */
#include "adversary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **options;

double option(const char *name, double fallback)
{
	size_t len = strlen(name);

	for (char **at = options; *at; at++)
		if (!strncmp(*at, name, len) && (*at)[len] == '=')
			return atof(*at + len + 1);
	return fallback;
}

static const struct workload *find(const char *name)
{
	const struct workload *const tables[] = {
		hog_workloads, wake_workloads, churn_workloads, cgroup_workloads, change_workloads, stop_workloads, crowd_workloads,
		pinned_workloads, chosen_workloads, side_workloads,
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct workload *w = tables[i]; w->name; w++)
			if (!strcmp(w->name, name))
				return w;
	return NULL;
}

/* What W-name+W-name+… does at once; each adds its crew. */
static const struct workload *gather(char *names, const struct workload *all[], int most)
{
	int n = 0;

	for (char *name; n < most && (name = strsep(&names, "+")); n++) {
		all[n] = find(name);
		if (!all[n]) {
			fprintf(stderr, "adversary: no workload '%s'\n", name);
			return NULL;
		}
	}
	return all[0];
}

int main(int argc, char **argv)
{
	const struct workload *all[16] = {};
	char names[128];
	bool started;

	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 0;	/* what a storm of exec() executes */
	if (argc < 2)
		return 2;
	options = argv + 2;
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (!strcmp(argv[1], "offline"))
		return take_last_cpu();	/* before a policy is attached: W28 brings it back */
	if (!strcmp(argv[1], "weigh"))
		return weigh_cgroups();	/* before a policy is attached: W12-before fills them */
	snprintf(names, sizeof(names), "%s", argv[1]);
	if (!gather(names, all, 15))
		return 2;
	for (int i = 0; all[i]; i++)
		all[i]->crew();
	started = start_crew();
	if (started) {
		nap(option("nap_s", 0));
		watch_crew(option("seconds", 1), option("limit_ms", 1e9));
	}
	dismiss_crew();
	for (int i = 0; all[i]; i++)
		if (all[i]->told)
			all[i]->told();
	report_crew(argv[1]);
	_exit(started ? 0 : 1);	/* not joining: a stalled worker must not keep the witness */
}
