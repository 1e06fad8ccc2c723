// SPDX-License-Identifier: Apache-2.0
/*
 * build: a real `make -jN` in the guest, of the source at /src with the toolchain beside it (benchmarks/toolchain.py).
 *
 * The tree is configured first, which is not measured; then `make` is, from its start to the end of its last process. Each run
 * begins with an empty output folder, so every run does everything. The last line printed is one JSON object; the exit status
 * is 1 when the build went wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

#define SOURCE "/src"
#define OUTPUT "/tmp/build"

static const char *target = "vmlinux";

/* What make says goes to stderr: what is on stdout is the report. */
static int run_quietly(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDONLY);

		dup2(null, STDIN_FILENO);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int make(const char *jobs, const char *what)
{
	char *argv[] = {"make", "-s", (char *)jobs, "-C", SOURCE, "O=" OUTPUT, (char *)what, NULL};

	return run_quietly(argv);
}

static double cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* All CPUs' waits for a CPU so far: their sum in ns and their number (Documentation/scheduler/sched-stats.rst). */
static bool read_delays(double *sum_ns, double *count)
{
	FILE *file = fopen("/proc/schedstat", "r");
	char line[512];
	double delay, slices;

	*sum_ns = *count = 0;
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "cpu%*d %*s %*s %*s %*s %*s %*s %*s %lf %lf", &delay, &slices) == 2) {
			*sum_ns += delay;
			*count += slices;
		}
	if (file)
		fclose(file);
	return *count > 0;
}

static bool is_there(const char *name)
{
	char path[256];
	struct stat found;

	snprintf(path, sizeof(path), OUTPUT "/%s", name);
	return !stat(path, &found) && found.st_size > 0;
}

/* The options with numbers are left to read_options(). */
static int read_target(int argc, char **argv)
{
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--target") && i + 1 < argc)
			target = argv[++i];
		else
			argv[kept++] = argv[i];
	}
	return kept;
}

static bool configure(const char *parallel)
{
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("HOME", "/tmp", 1);
	return !run_quietly((char *[]){"rm", "-rf", OUTPUT, NULL}) && !mkdir(OUTPUT, 0755) && !make(parallel, "tinyconfig");
}

int main(int argc, char **argv)
{
	uint64_t jobs = 4, seed = 1, began_ns;
	const struct option_spec specs[] = {{"--jobs", &jobs, 1, 4096}, {"--seed", &seed, 0, UINT64_MAX}, {NULL, NULL, 0, 0}};
	double used_ms, wall_ms, delay_ns[2], slices[2];
	char parallel[16];
	bool ok;
	cpu_set_t set;

	read_options(read_target(argc, argv), argv, specs);
	sched_getaffinity(0, sizeof(set), &set);
	snprintf(parallel, sizeof(parallel), "-j%llu", (unsigned long long)jobs);
	if (!configure(parallel) || !read_delays(&delay_ns[0], &slices[0])) {
		fprintf(stderr, "build: cannot configure %s, or there is no /proc/schedstat\n", SOURCE);
		return 1;
	}
	used_ms = cpu_ms();
	began_ns = now_ns();
	ok = !make(parallel, target);
	wall_ms = (double)(now_ns() - began_ns) / 1e6;
	used_ms = cpu_ms() - used_ms;
	ok = read_delays(&delay_ns[1], &slices[1]) && ok && is_there(target);
	printf("{\"makespan_ms\": %.3f, \"cpu_ms\": %.3f, \"bound_ms\": %.3f, \"delay_mean_us\": %.3f, \"ok\": %s}\n", wall_ms, used_ms,
	       used_ms / CPU_COUNT(&set), (delay_ns[1] - delay_ns[0]) / (slices[1] - slices[0]) / 1e3, ok ? "true" : "false");
	fflush(stdout);
	run_quietly((char *[]){"rm", "-rf", OUTPUT, NULL});
	return ok ? 0 : 1;
}
