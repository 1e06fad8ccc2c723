// SPDX-License-Identifier: Apache-2.0
/*
 * batch: many short jobs and one long one, all started together, the long one submitted last.
 *
 * Every job is a process with a fixed, seeded amount of work. Its name tells its kind ("batch-short", "batch-long")
 * before it starts, because a scheduler that is to treat kinds differently sees nothing else. The last line printed is
 * one JSON object; the exit status is 1 when a job failed or its result is wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

struct job {
	const char *comm;
	uint64_t blocks, first, result;
	pid_t pid;
	double cpu_ms_before, cpu_ms, end_ms;
	int ok;
};

static uint64_t job_count = 40, short_work = 100000, long_factor = 20, seed = 1;

static void plan(struct job *jobs)
{
	uint64_t total = 0, last = job_count - 1;

	for (uint64_t i = 0; i < job_count; i++)
		jobs[i].first = seeded(seed, 2 * i);
	for (uint64_t i = 0; i < last; i++) {
		jobs[i].comm = "batch-short";
		jobs[i].blocks = short_work * (800 + seeded(seed, 2 * i + 1) % 401) / 1000;
		total += jobs[i].blocks;
	}
	/* From the mean that was drawn, not the one asked for: every seed has the same ratio, hence the same bound. */
	jobs[last].comm = "batch-long";
	jobs[last].blocks = total / last * long_factor;
}

static double own_cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void run_job(struct job *job, const int *ready, const int *start)
{
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, job->comm);
	close(start[1]);
	if (write(ready[1], &byte, 1) != 1 || read(start[0], &byte, 1) != 0)
		_exit(1);
	job->cpu_ms_before = own_cpu_ms(); /* what a job costs to create lies before the makespan, and outside its bound */
	job->result = work_run(job->first, job->blocks);
	_exit(0);
}

/*
 * One job at a time gets as far as the barrier, so that they wait in the order of submission, and that is the order in
 * which closing the pipe wakes them: the long one last, whatever the scheduler did until then.
 */
static int submit(struct job *jobs, const int *ready, const int *start)
{
	char byte;

	for (uint64_t i = 0; i < job_count; i++) {
		pid_t pid = fork();

		if (pid == 0)
			run_job(&jobs[i], ready, start);
		if (pid < 0 || read(ready[0], &byte, 1) != 1) {
			perror("batch: cannot start a job");
			return -1;
		}
		jobs[i].pid = pid; /* the parent's alone to write: the child shares this memory and sees 0 */
	}
	return 0;
}

static void collect(struct job *jobs, uint64_t start_ns)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, 0, &usage)) > 0) {
		double end_ms = (double)(now_ns() - start_ns) / 1e6;
		struct job *job = jobs;

		while (job->pid != pid)
			job++;
		job->end_ms = end_ms;
		job->cpu_ms = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
			      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3 - job->cpu_ms_before;
		job->ok = status == 0 && job->result == work_expected(job->first, work_done(job->blocks));
	}
}

static int report(const struct job *jobs)
{
	double makespan = 0, total = 0, longest = 0, ends = 0, bound;
	uint64_t good = 0;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	printf("{\"jobs\":[");
	for (uint64_t i = 0; i < job_count; i++) {
		const struct job *job = &jobs[i];

		printf("%s{\"comm\":\"%s\",\"blocks\":%llu,\"cpu_ms\":%.3f,\"end_ms\":%.3f,\"ok\":%s}", i ? "," : "",
		       job->comm, (unsigned long long)job->blocks, job->cpu_ms, job->end_ms, job->ok ? "true" : "false");
		makespan = job->end_ms > makespan ? job->end_ms : makespan;
		longest = job->cpu_ms > longest ? job->cpu_ms : longest;
		total += job->cpu_ms;
		ends += job->end_ms;
		good += (uint64_t)job->ok;
	}
	/* No order of n CPUs beats its longest job, or all of them busy all the time (McNaughton 1959). */
	bound = total / CPU_COUNT(&cpus) > longest ? total / CPU_COUNT(&cpus) : longest;
	printf("],\"cpus\":%d,\"makespan_ms\":%.3f,\"mean_end_ms\":%.3f,\"cpu_ms\":%.3f,\"longest_ms\":%.3f,\"bound_ms\":%.3f,"
	       "\"ok\":%s}\n", CPU_COUNT(&cpus), makespan, ends / (double)job_count, total, longest, bound,
	       good == job_count ? "true" : "false");
	return good == job_count ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct option_spec specs[] = {
		{"--jobs", &job_count, 2, 4096},
		{"--short-work", &short_work, 1, 1ULL << 40},
		{"--long-factor", &long_factor, 1, 10000},
		{"--seed", &seed, 0, UINT64_MAX},
		{"--real", &work_real, 0, 1},
		{NULL, NULL, 0, 0},
	};
	int ready[2], start[2];
	struct job *jobs;
	uint64_t start_ns;

	read_options(argc, argv, specs);
	jobs = mmap(NULL, job_count * sizeof(*jobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (jobs == MAP_FAILED || pipe(ready) || pipe(start)) {
		perror("batch: cannot prepare");
		return 1;
	}
	plan(jobs);
	if (submit(jobs, ready, start))
		return 1;
	start_ns = now_ns();
	close(start[1]);
	collect(jobs, start_ns);
	return report(jobs);
}
