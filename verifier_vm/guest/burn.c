// SPDX-License-Identifier: Apache-2.0
/* What the workers of `adversary` do with their time, and how latencies are kept. */
#include "adversary.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

bool clock_is_virtual(void)
{
	static int known = -1;

	if (known < 0) {
		const char *clock = getenv("SCHEDCP_CLOCK");

		known = clock && !strcmp(clock, "virtual");
	}
	return known;
}

/* Some 5 ns a step without the virtual clock. */
static void really_work(unsigned int us)
{
	volatile uint64_t x = 1;

	for (unsigned int i = 0; i < us * 200; i++)
		x = x * 6364136223846793005ull + 1442695040888963407ull;
}

/* In bursts of 10 us, half the virtual clock's quantum: with longer ones a vCPU is ahead of those that interrupt it by as much. */
void burn(struct worker *w, unsigned int us)
{
	w->work_us += us;
	if (!clock_is_virtual()) {
		really_work(us);
		return;
	}
	for (; us >= 10; us -= 10)
		__asm__ volatile("nopl 0x5ced0064(%rax)");
}

void rest(struct worker *w, uint64_t ns)
{
	w->rests_until_ns = now_ns() + ns;
	nanosleep(&(struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 }, NULL);
}

void hog(struct worker *w)
{
	burn(w, 400);
}

void bind_to(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(tid, sizeof(set), &set);
}

void bind_to_all(pid_t tid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int cpu = 0; cpu < cpus; cpu++)
		CPU_SET(cpu, &set);
	sched_setaffinity(tid, sizeof(set), &set);
}

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
uint64_t draw(struct worker *w)
{
	uint64_t z = (w->state += 0x9e3779b97f4a7c15ull) + w->index * 0xd1342543de82ef95ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void write_file(const char *path, const char *text, const char *error_figure)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		fprintf(stderr, "adversary: cannot write '%s' to %s: %m\n", text, path);
		figure(error_figure, 1);
	}
	if (fd >= 0)
		close(fd);
}

void set_class(pid_t tid, int class, int priority)
{
	sched_setscheduler(tid, class, &(struct sched_param){ .sched_priority = priority });
}

void sample(struct samples *s, uint64_t ns)
{
	unsigned int i = s->n++;

	s->at[i % (sizeof(s->at) / sizeof(s->at[0]))] = ns;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void report_samples(const struct samples *s, const char *name)
{
	static uint64_t sorted[sizeof(s->at) / sizeof(s->at[0])];
	const size_t most = sizeof(s->at) / sizeof(s->at[0]);
	size_t n = s->n < most ? s->n : most;
	char figure_name[64];

	memcpy(sorted, s->at, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), by_size);
	snprintf(figure_name, sizeof(figure_name), "%s_n", name);
	figure(figure_name, n);
	snprintf(figure_name, sizeof(figure_name), "%s_p50_us", name);
	figure(figure_name, n ? sorted[n / 2] / 1e3 : 0);
	snprintf(figure_name, sizeof(figure_name), "%s_p99_us", name);
	figure(figure_name, n ? sorted[n - 1 - n / 100] / 1e3 : 0);
	snprintf(figure_name, sizeof(figure_name), "%s_max_us", name);
	figure(figure_name, n ? sorted[n - 1] / 1e3 : 0);
}
