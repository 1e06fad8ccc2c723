// SPDX-License-Identifier: Apache-2.0
/*
 * batchcase CASE: the paper's eight batches, each of many small jobs and a large one that do a real kind of work.
 *
 * The jobs start together, in the order of the paper's harness (the large one last) or shuffled by the seed. Their
 * inputs are made from the seed before the start and are no part of what is timed. The last line printed is one JSON
 * object; the exit status is 1 when a job failed or its result is wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include "case_checksum.h"
#include "case_compression.h"
#include "case_ctest.h"
#include "case_git.h"
#include "case_hotkey.h"
#include "case_logs.h"
#include "case_products.h"
#include "case_video.h"

static const struct batch_case *const cases[] = {
	&compression_case, &video_case, &ctest_case, &git_case, &checksum_case, &hotkey_case, &logs_case, &products_case,
};

#define CASES (sizeof(cases) / sizeof(*cases))

static KEPT size_t chosen; /* among the cases */

static const struct batch_case *find_case(const char *name)
{
	for (size_t i = 0; name && i < CASES; i++)
		if (!strcmp(cases[i]->name, name))
			return cases[chosen = i];
	fprintf(stderr, "batchcase: %s%s%s; known are", name ? "no case '" : "which case?", name ? name : "", name ? "'" : "");
	for (size_t i = 0; i < CASES; i++)
		fprintf(stderr, " %s", cases[i]->name);
	fprintf(stderr, "\n");
	exit(2);
}

static void plan(struct job *jobs, const struct batch_case *with, const uint64_t *sizes)
{
	for (uint64_t i = 0; i < job_count; i++) {
		int large = i == job_count - 1;

		jobs[i] = (struct job){.index = i, .size = sizes[large], .large = large};
		name_job(&jobs[i], with->comm[large]);
		jobs[i].first = seeded(seed, i);
	}
}

int main(int argc, char **argv)
{
	int goes_on = is_job(argc, argv);
	const struct batch_case *with = goes_on ? cases[chosen % CASES] : find_case(argc > 1 ? argv[1] : NULL);
	const struct job_kind kind = {with->name, with->unit, with->open, with->run};
	uint64_t sizes[2] = {0, 0};
	const struct option_spec specs[] = {
		{"--jobs", &job_count, 2, 4096},
		{"--small", &sizes[SMALL], with->low, with->high},
		{"--large", &sizes[LARGE], with->low, with->high},
		{"--shuffle", &shuffle, 0, 1},
		{"--naming", &naming, NAMED_BEFORE, UNNAMED},
		{"--seed", &seed, 0, UINT64_MAX},
		{"--real", &work_real, 0, 1},
		{"--footprint-kib", &footprint_kib, 0, 128 << 10},
		{NULL, NULL, 0, 0},
	};
	struct job *jobs;
	int status;

	if (goes_on)
		go_on(&kind, argv[2]);
	read_options(argc - 1, argv + 1, specs);
	if (!sizes[SMALL] || !sizes[LARGE]) {
		fprintf(stderr, "%s: --small and --large must be given, in %s\n", with->name, with->unit);
		return 2;
	}
	jobs = new_jobs();
	plan(jobs, with, sizes);
	for (int large = SMALL; large <= LARGE; large++)
		with->prepare(large, sizes[large]);
	status = run_jobs(&kind, jobs);
	if (with->clean)
		with->clean();
	return status;
}
