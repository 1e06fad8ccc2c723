// SPDX-License-Identifier: Apache-2.0
/*
 * batch: many short jobs and one long one, all started together, the long one submitted last unless shuffled.
 *
 * Every job is a process with a fixed, seeded amount of work that is nothing but CPU time. The last line printed is one
 * JSON object; the exit status is 1 when a job failed or its result is wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include "jobs.h"

static uint64_t short_work = 100000, long_factor = 20;

static void plan(struct job *jobs)
{
	uint64_t total = 0, last = job_count - 1;

	for (uint64_t i = 0; i < job_count; i++) {
		jobs[i].index = i;
		jobs[i].first = seeded(seed, 2 * i);
	}
	for (uint64_t i = 0; i < last; i++) {
		name_job(&jobs[i], "batch-short");
		jobs[i].size = short_work * (800 + seeded(seed, 2 * i + 1) % 401) / 1000;
		total += jobs[i].size;
	}
	/* From the mean that was drawn, not the one asked for: every seed has the same ratio, hence the same bound. */
	name_job(&jobs[last], "batch-long");
	jobs[last].size = total / last * long_factor;
	jobs[last].large = 1;
}

static int run(const struct job *job)
{
	return work_run(job->first, job->size) == work_expected(job->first, work_done(job->size));
}

int main(int argc, char **argv)
{
	static const struct job_kind kind = {"batch", "blocks", NULL, run};
	const struct option_spec specs[] = {
		{"--jobs", &job_count, 2, 4096},
		{"--short-work", &short_work, 1, 1ULL << 40},
		{"--long-factor", &long_factor, 1, 10000},
		{"--shuffle", &shuffle, 0, 1},
		{"--naming", &naming, NAMED_BEFORE, UNNAMED},
		{"--seed", &seed, 0, UINT64_MAX},
		{"--real", &work_real, 0, 1},
		{"--footprint-kib", &footprint_kib, 0, 128 << 10},
		{NULL, NULL, 0, 0},
	};
	struct job *jobs;

	if (is_job(argc, argv))
		go_on(&kind, argv[2]);
	read_options(argc, argv, specs);
	jobs = new_jobs();
	plan(jobs);
	return run_jobs(&kind, jobs);
}
