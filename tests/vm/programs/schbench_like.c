// SPDX-License-Identifier: Apache-2.0
/*
 * In place of a schbench binary, which no machine of ours has: takes its options, refuses others, and prints figures of
 * its own in the documented format, one block on the way and one at the end. Its request p99 is 1000 us and one per ms of
 * CPU time that -n asks for, so that a test can tell that it was this program which ran, and with which options.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *letters = "mtrwFnsRAp";

static void block(int p99, int rate)
{
	fprintf(stderr, "Wakeup Latencies percentiles (usec) runtime 1 (s) (900 total samples)\n");
	fprintf(stderr, "\t  50.0th: 5          (450 samples)\n\t  90.0th: 8          (360 samples)\n");
	fprintf(stderr, "\t* 99.0th: 90         (81 samples)\n\t  99.9th: 200        (8 samples)\n\t  min=1, max=410\n");
	fprintf(stderr, "Request Latencies percentiles (usec) runtime 1 (s) (900 total samples)\n");
	fprintf(stderr, "\t  50.0th: 700        (450 samples)\n\t  90.0th: 800        (360 samples)\n");
	fprintf(stderr, "\t* 99.0th: %-10d (81 samples)\n\t  99.9th: 9000       (8 samples)\n\t  min=600, max=9999\n", p99);
	fprintf(stderr, "RPS percentiles (requests) runtime 1 (s) (1 total samples)\n");
	fprintf(stderr, "\t  20.0th: %d\n\t* 50.0th: %d\n\t  90.0th: %d\n\t  min=%d, max=%d\n", rate, rate, rate, rate, rate);
}

int main(int argc, char **argv)
{
	int operations = 5;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-L"))
			continue;
		if (strlen(argv[i]) != 2 || argv[i][0] != '-' || !strchr(letters, argv[i][1]) || i + 1 == argc) {
			fprintf(stderr, "schbench: invalid option '%s'\n", argv[i]);
			return 1;
		}
		if (!strcmp(argv[i], "-n"))
			operations = atoi(argv[i + 1]);
		i++;
	}
	for (volatile long spins = 0; spins < 3000000; spins++)
		;
	usleep(60000);
	block(1, 1);
	fprintf(stderr, "sched delay: message 1 (usec) worker 1 (usec)\ncurrent rps: 1.00\n");
	block(1000 + operations, 900);
	fprintf(stderr, "average rps: 900.25\nsched delay: message 3 (usec) worker 44 (usec)\n");
	return 0;
}
