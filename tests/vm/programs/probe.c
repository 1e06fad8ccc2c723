// SPDX-License-Identifier: Apache-2.0
/* What a hostile or broken workload does, by name: the guest and its host must come through each. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void spin_everywhere(void)
{
	/* Above init's priority on every CPU: nothing in the guest runs any more. */
	struct sched_param top = { .sched_priority = 99 };

	sched_setscheduler(0, SCHED_FIFO, &top);
	while (fork() >= 0)
		for (volatile long i = 0; getppid() != 1 || i >= 0; i++)
			;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(1);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "spew"))
		for (int i = 0; i < 60000; i++)
			puts("0123456789012345678901234567890123456789012345678901234567890123456789");
	else if (!strcmp(what, "hang"))
		for (;;)
			pause();
	else if (!strcmp(what, "orphans"))	/* leaves children that ignore everything but SIGKILL */
		for (int i = 0; i < 20; i++)
			if (fork() == 0)
				for (;;)
					pause();
	if (!strcmp(what, "panic"))
		put("/proc/sysrq-trigger", "c");
	if (!strcmp(what, "freeze")) {
		put("/proc/sys/kernel/sched_rt_runtime_us", "-1");
		spin_everywhere();
	}
	if (!strcmp(what, "cat") && argc > 2) {
		char buf[65536];
		int fd = open(argv[2], O_RDONLY);
		ssize_t n;
		unsigned long sum = 0, size = 0;

		while ((n = read(fd, buf, sizeof(buf))) > 0)
			for (ssize_t i = 0; i < n; i++, size++)
				sum = sum * 31 + (unsigned char)buf[i];
		printf("{\"size\":%lu,\"sum\":%lu}\n", size, sum);
	}
	if (!strcmp(what, "exit"))
		return atoi(argv[2]);
	if (!strcmp(what, "args"))
		for (int i = 2; i < argc; i++)
			printf("<%s>\n", argv[i]);
	return 0;
}
