// SPDX-License-Identifier: Apache-2.0
/* mixed: what runs beside the servers: jobs that never pause, a build that keeps some short processes, and a cron. */
#define _GNU_SOURCE 1
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mixed.h"

enum stream { BATCH = 1, BUILD, CRON }; /* of seeded numbers */

/* A process that is no longer than its maker; 0 in the process, < 0 where there can be none. */
static pid_t start_process(const char *comm)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, comm);
	}
	return pid;
}

static void batch(uint64_t index)
{
	const uint64_t blocks_between_looks = 64;
	uint64_t first = seeded(opts.seed ^ BATCH, index), x = first, looks = 0;

	pthread_barrier_wait(&shared->start);
	for (; !atomic_load_explicit(&shared->stop, memory_order_relaxed); looks++)
		x = work_run(x, blocks_between_looks);
	atomic_fetch_add(&shared->batch_blocks, looks * blocks_between_looks);
	_exit(x == work_expected(first, looks * work_done(blocks_between_looks)) ? 0 : 1);
}

/* A process with work from a fifth to nine fifths of `mean`; whether there is one. */
static bool start_job(const char *comm, enum stream stream, uint64_t number, uint64_t mean)
{
	uint64_t drawn = seeded(opts.seed ^ (uint64_t)stream << 32, number), size = mean * (200 + drawn % 1601) / 1000;
	pid_t pid = start_process(comm);

	if (pid == 0)
		_exit(work_run(drawn, size) == work_expected(drawn, work_done(size)) ? 0 : 1);
	return pid > 0;
}

/* Whether a process was there to end, and ended with 0. */
static bool await_job(void)
{
	int status;

	return wait(&status) > 0 && status == 0;
}

/* As `make -j` does: when one ends, the next begins. What ends after the servers have is not counted. */
static void build(uint64_t index)
{
	uint64_t made = 0, ended = 0;

	(void)index;
	pthread_barrier_wait(&shared->start);
	while (!atomic_load(&shared->stop)) {
		for (; made - ended < opts.builds; made++)
			if (!start_job("mixed-cc", BUILD, made, opts.build_work))
				_exit(1);
		if (!await_job())
			_exit(1);
		ended++;
		if (!atomic_load(&shared->stop))
			atomic_fetch_add(&shared->builds, 1);
	}
	for (; ended < made; ended++)
		if (!await_job())
			_exit(1);
	_exit(0);
}

/* A burst counts from when it was due until the last of its jobs has ended. */
static bool burst(uint64_t number, uint64_t due_ns)
{
	for (uint64_t i = 0; i < opts.cron_jobs; i++)
		if (!start_job("mixed-cronjob", CRON, number * opts.cron_jobs + i, opts.cron_work))
			return false;
	for (uint64_t i = 0; i < opts.cron_jobs; i++)
		if (!await_job())
			return false;
	atomic_fetch_add(&shared->cron_bursts, 1);
	atomic_fetch_add(&shared->cron_ns, now_ns() - due_ns);
	return true;
}

static void cron(uint64_t index)
{
	uint64_t due_ns, period_ns = opts.cron_ms * 1000000;

	(void)index;
	prctl(PR_SET_TIMERSLACK, 1);
	pthread_barrier_wait(&shared->start);
	due_ns = now_ns() + period_ns / 2;
	for (uint64_t number = 0;; number++, due_ns += period_ns) {
		struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
		int stopped;

		while ((stopped = sem_clockwait(&shared->stopped, CLOCK_MONOTONIC, &due)) < 0 && errno == EINTR)
			;
		if (!stopped)
			_exit(0);
		if (!burst(number, due_ns))
			_exit(1);
	}
}

static const struct {
	const char *comm;
	void (*run)(uint64_t index);
} kinds[] = {{"mixed-batch", batch}, {"mixed-make", build}, {"mixed-cron", cron}};

static uint64_t how_many(unsigned int kind, uint64_t cpus)
{
	return kind == 0 ? opts.batch_per_cpu * cpus : kind == 1 ? opts.builds > 0 : opts.cron_ms > 0;
}

uint64_t background_count(uint64_t cpus)
{
	return how_many(0, cpus) + how_many(1, cpus) + how_many(2, cpus);
}

int start_background(uint64_t cpus)
{
	for (unsigned int kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++)
		for (uint64_t i = 0; i < how_many(kind, cpus); i++) {
			pid_t pid = start_process(kinds[kind].comm);

			if (pid == 0)
				kinds[kind].run(i);
			if (pid < 0)
				return -1;
		}
	return 0;
}
