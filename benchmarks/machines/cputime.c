/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cputime REPS CPU show|drop [NAME=VALUE…] PROGRAM ARG…: runs the program so often on that CPU, and prints the CPU time of
 * each run in ns, as the kernel counts it: "cpu_ns N", after what the program printed, if that is to be shown.
 */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long long ns(struct timeval at)
{
	return at.tv_sec * 1000000000ull + at.tv_usec * 1000ull;
}

int main(int argc, char **argv)
{
	char **words = argv + 4, **env = words;
	cpu_set_t set;

	if (argc < 5)
		errx(2, "cputime REPS CPU show|drop [NAME=VALUE...] PROGRAM ARG...");
	while (*words && strchr(*words, '='))
		words++;
	if (!*words)
		errx(2, "no program");
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[2]), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(4, "CPU %s", argv[2]);
	for (int rep = 0; rep < atoi(argv[1]); rep++) {
		struct rusage used;
		int status;
		pid_t child = fork();

		if (child < 0)
			err(4, "fork");
		if (!child) {
			if (strcmp(argv[3], "show") && dup2(open("/dev/null", O_WRONLY), 1) < 0)
				err(4, "/dev/null");
			clearenv();
			for (char **one = env; one < words; one++)
				putenv(*one);
			execv(*words, words);
			err(5, "%s", *words);
		}
		if (wait4(child, &status, 0, &used) != child || status)
			errx(4, "%s ended with %d", *words, status);
		printf("cpu_ns %llu\n", ns(used.ru_utime) + ns(used.ru_stime));
		fflush(stdout);
	}
	return 0;
}
