// SPDX-License-Identifier: Apache-2.0
/*
 * forkjoin: stages one after the other; in each, parts of very unequal size start together and are awaited before the next
 * stage starts.
 *
 * A part is a thread of its own, made for it and named by its maker, so a scheduler knows the name before it runs. The
 * longest part of a stage is `forkjoin-long`. The last line printed is one JSON object; the exit status is 1 when a part's
 * result is wrong or one cannot be made, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "work.h"

struct part {
	pthread_t thread;
	uint64_t rank, first, size, result;
	uint64_t made_ns, ran_ns, end_ns, cpu_ns;
};

/* Sums over all stages, of times in ns. */
struct totals {
	uint64_t bound, work, ends, waits;
	int ok;
};

static uint64_t stage_count = 20, part_count = 12, longest_work = 320000, seed = 1, footprint_kib;

static uint64_t square_root(uint64_t of)
{
	uint64_t root = 0;

	for (uint64_t bit = 1ULL << 31; bit; bit >>= 1)
		if ((root + bit) * (root + bit) <= of)
			root += bit;
	return root;
}

/*
 * The part of rank r has 1/r^1.5 of the longest's work, give or take 20 %: the tail of a Pareto distribution of index 2/3, by
 * its ranks and not by draws, so that the stages of every seed have about the same bound. Only the order is drawn.
 */
static void plan(struct part *parts, uint64_t stage)
{
	for (uint64_t i = 0; i < part_count; i++)
		parts[i].rank = i + 1;
	for (uint64_t i = part_count - 1; i; i--) { /* Durstenfeld, CACM 7, 1964 */
		uint64_t other = seeded(~seed, (stage << 32) + i) % (i + 1), rank = parts[i].rank;

		parts[i].rank = parts[other].rank;
		parts[other].rank = rank;
	}
	for (uint64_t i = 0; i < part_count; i++) {
		uint64_t r = parts[i].rank, drawn = seeded(seed, (stage << 32) + i);

		parts[i].first = drawn;
		parts[i].size = longest_work * 1000 / square_root(r * r * r * 1000000) * (800 + drawn % 401) / 1000;
	}
}

static void *run_part(void *arg)
{
	struct part *me = arg;
	struct timespec cpu;

	me->ran_ns = now_ns();
	me->result = work_run(me->first, me->size);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	me->cpu_ns = (uint64_t)cpu.tv_sec * 1000000000ULL + (uint64_t)cpu.tv_nsec;
	me->end_ns = now_ns();
	return NULL;
}

/* All parts of one stage, made in their order and then awaited; whether all could be made. */
static int run_stage(struct part *parts)
{
	for (uint64_t i = 0; i < part_count; i++) {
		prctl(PR_SET_NAME, parts[i].rank == 1 ? "forkjoin-long" : "forkjoin-part"); /* a thread inherits it */
		parts[i].made_ns = now_ns();
		if (pthread_create(&parts[i].thread, NULL, run_part, &parts[i]))
			return 0;
	}
	prctl(PR_SET_NAME, "forkjoin");
	for (uint64_t i = 0; i < part_count; i++)
		pthread_join(parts[i].thread, NULL);
	return 1;
}

/* No order of n CPUs beats a stage's longest part, or all of its parts busy all the time (McNaughton 1959). */
static void add_stage(struct totals *all, const struct part *parts, uint64_t cpus)
{
	uint64_t longest = 0, work = 0;

	for (uint64_t i = 0; i < part_count; i++) {
		const struct part *part = &parts[i];

		longest = part->cpu_ns > longest ? part->cpu_ns : longest;
		work += part->cpu_ns;
		all->ends += part->end_ns - parts[0].made_ns;
		all->waits += part->ran_ns - part->made_ns;
		all->ok &= part->result == work_expected(part->first, work_done(part->size));
	}
	all->work += work;
	all->bound += work / cpus > longest ? work / cpus : longest;
}

static int report(const struct totals *all, uint64_t cpus, uint64_t makespan_ns)
{
	double count = (double)(stage_count * part_count);

	printf("{\"stages\":%llu,\"parts\":%llu,\"cpus\":%llu,\"makespan_ms\":%.3f,\"bound_ms\":%.3f,\"cpu_ms\":%.3f,"
	       "\"mean_end_ms\":%.3f,\"mean_wait_us\":%.3f,\"ok\":%s}\n", (unsigned long long)stage_count,
	       (unsigned long long)part_count, (unsigned long long)cpus, (double)makespan_ns / 1e6, (double)all->bound / 1e6,
	       (double)all->work / 1e6, (double)all->ends / count / 1e6, (double)all->waits / count / 1e3,
	       all->ok ? "true" : "false");
	return all->ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	const struct option_spec specs[] = {
		{"--stages", &stage_count, 1, 100000},
		{"--parts", &part_count, 1, 1024},
		{"--longest-work", &longest_work, 1, 1ULL << 40},
		{"--seed", &seed, 0, UINT64_MAX},
		{"--real", &work_real, 0, 1},
		{"--footprint-kib", &footprint_kib, 0, 128 << 10},
		{NULL, NULL, 0, 0},
	};
	struct totals all = {.ok = 1};
	struct part *parts;
	uint64_t start_ns;
	cpu_set_t cpus;

	read_options(argc, argv, specs);
	work_tell_footprint(footprint_kib);
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	parts = calloc(part_count, sizeof(*parts));
	start_ns = now_ns();
	for (uint64_t stage = 0; stage < stage_count; stage++) {
		if (parts)
			plan(parts, stage);
		if (!parts || !run_stage(parts)) {
			fprintf(stderr, "forkjoin: cannot start the parts of stage %llu\n", (unsigned long long)stage);
			return 1;
		}
		add_stage(&all, parts, (uint64_t)CPU_COUNT(&cpus));
	}
	return report(&all, (uint64_t)CPU_COUNT(&cpus), now_ns() - start_ns);
}
