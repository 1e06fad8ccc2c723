/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every batch has in common: jobs that are processes, a common start, each job's end and CPU time, the bound, and
 * one JSON object that tells them.
 *
 * What a scheduler can tell of a job, --naming says. 0: its name tells its kind before it starts. 1: it gets that name
 * after the common start, by exec, as what a shell starts does. 2: it never does; the jobs have one name and one
 * executable, and differ by their arguments alone, as `gzip FILE` and `gzip OTHER` do. A job checks its own result and
 * exits with 1 if it is wrong; one that fails in any way fails the batch.
 */
#ifndef BENCHMARKS_JOBS_H
#define BENCHMARKS_JOBS_H

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kept.h"

struct job {
	char comm[16];
	uint64_t index, size, first; /* number in the plan, units of work, where the work begins */
	int large;
	pid_t pid;
	double cpu_ms_before, cpu_ms, end_ms;
	int ok;
};

/* `open` gets a job ready before the common start; `run` does the work and returns whether its result is right. */
struct job_kind {
	const char *program, *unit;
	void (*open)(const struct job *job);
	int (*run)(const struct job *job);
};

#define JOB_OPTION "--job" /* of a job that has called exec: its number follows */

static KEPT uint64_t job_count = 40, seed = 1, footprint_kib;
static uint64_t shuffle;
static KEPT struct job *all_jobs;

/* Shared with the jobs, for what they know of themselves. Ends the program with 1 if there is no memory. */
static struct job *new_jobs(void)
{
	all_jobs = kept_memory(job_count * sizeof(*all_jobs));
	if (all_jobs == MAP_FAILED) {
		perror("cannot make room for the jobs");
		exit(1);
	}
	return all_jobs;
}

static void name_job(struct job *job, const char *comm)
{
	snprintf(job->comm, sizeof(job->comm), "%s", comm);
}

/* Every order as likely as any other (Fisher and Yates, in Durstenfeld's form: CACM 7, 1964), and one for each seed. */
static void shuffle_jobs(struct job *jobs)
{
	for (uint64_t i = job_count - 1; i; i--) {
		uint64_t other = seeded(seed ^ 0x0de2, i) % (i + 1);
		struct job kept = jobs[i];

		jobs[i] = jobs[other];
		jobs[other] = kept;
	}
}

static double own_cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The job's program anew, with nothing but its number to tell it from the others'. Returns only if that fails. */
static void exec_job(const struct job_kind *kind, const struct job *job, int ready, int start)
{
	char path[256], number[24];
	char *argv[] = {(char *)(uintptr_t)kind->program, JOB_OPTION, number, NULL};
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int kept = keep_variables();

	if (length <= 0 || kept < 0 || dup2(kept, KEPT_FD) < 0 || dup2(ready, READY_FD) < 0 || dup2(start, START_FD) < 0)
		_exit(1);
	path[length] = 0; /* the kernel names the process after it: /proc/self/exe would make that `exe` */
	snprintf(number, sizeof(number), "%llu", (unsigned long long)job->index);
	execv(path, argv);
	perror(path);
	_exit(1);
}

static void await_start(int ready, int start)
{
	char byte = 0;

	if (write(ready, &byte, 1) != 1 || read(start, &byte, 1) != 0)
		_exit(1);
}

/* What a job costs to create lies before the makespan, and outside its bound. */
static void begin(struct job *job)
{
	work_tell_footprint(footprint_kib);
	job->cpu_ms_before = own_cpu_ms();
}

static void work_and_exit(const struct job_kind *kind, const struct job *job)
{
	if (kind->run(job))
		_exit(0);
	fprintf(stderr, "%s: job %llu (%s): its result is wrong\n", kind->program, (unsigned long long)job->index, job->comm);
	_exit(1);
}

static void run_job(const struct job_kind *kind, struct job *job, const int *ready, const int *start)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (naming == NAMED_BEFORE)
		prctl(PR_SET_NAME, job->comm);
	close(start[1]);
	if (naming == UNNAMED)
		exec_job(kind, job, ready[1], start[0]);
	if (kind->open && naming == NAMED_BEFORE)
		kind->open(job);
	await_start(ready[1], start[0]);
	begin(job);
	if (naming == NAMED_AFTER_EXEC)
		exec_job(kind, job, ready[1], start[0]);
	work_and_exit(kind, job);
}

/* Whether these are the arguments of a job that has called exec; ends the program with 2 if nobody kept it anything. */
static int is_job(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], JOB_OPTION))
		return 0;
	if (restore_kept())
		return 1;
	fprintf(stderr, "%s: %s is for its own jobs\n", argv[0], JOB_OPTION);
	exit(2);
}

/* Goes on as the job of that number, after exec. */
static void go_on(const struct job_kind *kind, const char *number)
{
	uint64_t index = strtoull(number, NULL, 10);
	struct job *job = all_jobs;

	while (job->index != index)
		if (++job == all_jobs + job_count)
			_exit(1);
	if (naming == NAMED_AFTER_EXEC)
		prctl(PR_SET_NAME, job->comm);
	if (kind->open)
		kind->open(job);
	if (naming == UNNAMED) {
		await_start(READY_FD, START_FD);
		begin(job);
	} else {
		work_tell_footprint(footprint_kib);
	}
	work_and_exit(kind, job);
}

/*
 * One job at a time gets as far as the barrier, so that they wait in the order of submission, and that is the order
 * in which closing the pipe wakes them, whatever the scheduler did until then. `ready` is closed on our side of it:
 * a job that dies on its way there is an end of file, not a wait for ever.
 */
static int submit(const struct job_kind *kind, struct job *jobs, const int *start)
{
	for (uint64_t i = 0; i < job_count; i++) {
		int ready[2];
		char byte;
		pid_t pid;
		int there;

		if (pipe(ready)) {
			perror(kind->program);
			return -1;
		}
		pid = fork();
		if (pid == 0)
			run_job(kind, &jobs[i], ready, start);
		close(ready[1]);
		there = pid > 0 && read(ready[0], &byte, 1) == 1;
		close(ready[0]);
		if (!there) {
			fprintf(stderr, "%s: cannot start job %llu\n", kind->program, (unsigned long long)jobs[i].index);
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
		job->ok = status == 0;
	}
}

static int report_jobs(const struct job_kind *kind, const struct job *jobs)
{
	double makespan = 0, total = 0, longest = 0, ends = 0, bound;
	uint64_t good = 0;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	printf("{\"jobs\":[");
	for (uint64_t i = 0; i < job_count; i++) {
		const struct job *job = &jobs[i];

		printf("%s{\"comm\":\"%s\",\"%s\":%llu,\"cpu_ms\":%.3f,\"end_ms\":%.3f,\"ok\":%s}", i ? "," : "", job->comm,
		       kind->unit, (unsigned long long)job->size, job->cpu_ms, job->end_ms, job->ok ? "true" : "false");
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

/* All jobs in order of submission, as planned or shuffled; returns the program's exit status. */
static int run_jobs(const struct job_kind *kind, struct job *jobs)
{
	uint64_t start_ns;
	int start[2];

	if (shuffle)
		shuffle_jobs(jobs);
	if (pipe(start)) {
		perror(kind->program);
		return 1;
	}
	if (submit(kind, jobs, start))
		return 1;
	start_ns = now_ns();
	close(start[1]);
	collect(jobs, start_ns);
	return report_jobs(kind, jobs);
}

#endif
