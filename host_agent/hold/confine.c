// SPDX-License-Identifier: Apache-2.0
/*
 * What parses a stranger's object gets nothing that it does not need: no network, no files to write, no core, bounded
 * memory and, while it loads, CPU time, and of root's powers those to load BPF, to attach it, and to run in real time.
 */
#include "hold.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY (1ul << 30)
#define CPU_S 60	/* the BPF verifier's time counts, too; under emulation a large policy takes seconds */

static bool limit(int resource, rlim_t value)
{
	struct rlimit limit = { value, value };

	return !setrlimit(resource, &limit);
}

static bool drop_capabilities(void)
{
	static const int kept[] = { CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_NICE, CAP_SYS_ADMIN, CAP_IPC_LOCK };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	size_t i;
	int cap;

	for (cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		for (i = 0; i < sizeof(kept) / sizeof(*kept) && kept[i] != cap; i++)
			;
		if (i == sizeof(kept) / sizeof(*kept))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		else
			data[cap / 32].permitted |= 1u << cap % 32;
	}
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	return !syscall(SYS_capset, &header, data);
}

bool confine(void)
{
	/* CPU time has a soft limit alone: it is lifted once the policy is attached, for that may last for months. */
	struct rlimit cpu = { CPU_S, RLIM_INFINITY };

	if (geteuid())	/* it cannot load anything; tests of what comes before that run so */
		return true;
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC) && errno != EINVAL)
		return false;
	return limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_AS, MEMORY) && limit(RLIMIT_NOFILE, 1024) &&
	       !setrlimit(RLIMIT_CPU, &cpu) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) &&
	       drop_capabilities();
}
