/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work as programs do it, and how many instructions it is. Those are counted without hardware counters: with the trap flag
 * set, each instruction ends in a SIGTRAP (Intel SDM 3, 17.3.1.4). A repeated string instruction does so once for each
 * repetition, at the same address, and counts once, as it does for a processor.
 */
#include "measure.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <zlib.h>

#define TEXT 4096
#define TEXTS 16
#define SORTED 400
#define SIDE 24

static unsigned char texts[TEXTS][TEXT], packed[2 * TEXT];
static uint32_t sorted[SORTED];
static double left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];
static uint32_t runs_begun; /* each run has other data: one that a branch predictor has seen before is twice as fast */
static volatile uint64_t sink;
static volatile int over; /* never: threads end with the process */

void parts_prepare(void)
{
	unsigned char *text = texts[0];
	uint64_t x = 1;

	/* The same memory again for each run, instead of page faults. */
	mallopt(M_MMAP_THRESHOLD, 1 << 28);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
	for (int i = 0; i < TEXTS * TEXT; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		/* Words that come again, as in a source: a third of it is copied from before. */
		text[i] = i > 256 && (i / 24) % 3 == 0 ? text[i - 24 * (1 + (i / 24) % 8)] : "etaoin shrdlu\n"[(x >> 33) % 14];
	}
	for (int i = 0; i < SIDE * SIDE; i++) {
		left[i / SIDE][i % SIDE] = i % 7;
		right[i / SIDE][i % SIDE] = i % 5;
	}
}

static const unsigned char *next_text(void)
{
	return texts[runs_begun++ % TEXTS];
}

static void run_deflate(void)
{
	uLongf size = sizeof(packed);

	if (compress2(packed, &size, next_text(), TEXT, 6) != Z_OK)
		errx(4, "zlib cannot compress");
	sink += size;
}

static void run_crc(void)
{
	const unsigned char *text = next_text();
	uLong sum = 0;

	for (int i = 0; i < 4; i++)
		sum = crc32(sum, text, TEXT);
	sink += sum;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void run_sort(void)
{
	uint32_t x = runs_begun++;

	for (int i = 0; i < SORTED; i++)
		sorted[i] = x = x * 1664525 + 1013904223;
	qsort(sorted, SORTED, sizeof(*sorted), ascending);
	sink += sorted[SORTED / 2];
}

static void run_matrix(void)
{
	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++) {
			double sum = 0;

			for (int k = 0; k < SIDE; k++)
				sum += left[i][k] * right[k][j];
			product[i][j] = sum;
		}
	sink += (uint64_t)product[SIDE - 1][SIDE - 1];
}

static void run_nothing(void)
{
}

const struct part parts[] = {
	{ "deflate", run_deflate }, { "crc", run_crc },         { "sort", run_sort },
	{ "matrix", run_matrix },   { "nothing", run_nothing }, { NULL, NULL },
};

const struct part *part_of(const char *name)
{
	for (const struct part *part = parts; part->name; part++)
		if (!strcmp(part->name, name))
			return part;
	errx(2, "no work '%s'", name);
}

static volatile uint64_t steps;
static uintptr_t last;

static void step(int number, siginfo_t *info, void *context)
{
	uintptr_t at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)number;
	(void)info;
	steps += at != last;
	last = at;
}

/* Below the red zone, which the compiler may use without moving the stack's end. */
#define TRAP(change) __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; " change " (%%rsp); popfq; lea 128(%%rsp), %%rsp" \
				      : : : "memory", "cc")

static uint64_t counted(void (*run)(void))
{
	steps = 0;
	TRAP("orq $0x100,");
	run();
	TRAP("andq $-257,");
	return steps;
}

void count(char **args)
{
	const struct part *part = part_of(args[0]);
	struct sigaction action = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGTRAP, &action, NULL))
		err(4, "sigaction");
	part->run();
	uint64_t nothing = counted(run_nothing);

	sample(counted(part->run) - nothing);
}

static void *busy(void *cpu)
{
	pin((int)(intptr_t)cpu);
	while (!over)
		run_matrix();
	return NULL;
}

void work(char **args)
{
	const struct part *part = part_of(args[0]);
	int cpu = atoi(args[1]), reps = atoi(args[2]);
	char *list = args[3];
	uint64_t began, runs = 0;

	for (char *word = list ? strtok(list, ",") : NULL; word; word = strtok(NULL, ",")) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, busy, (void *)(intptr_t)atoi(word)))
			errx(4, "no thread");
	}
	pin(cpu);
	/* Until the clock frequency is what it will be, and to learn how many runs are 4 ms. */
	for (began = now_ns(); now_ns() - began < 50000000; runs++)
		part->run();
	runs = runs * 4 / 50 + 1;
	for (int rep = 0; rep < reps; rep++) {
		began = now_ns();
		for (uint64_t i = 0; i < runs; i++)
			part->run();
		sample((double)(now_ns() - began) / runs);
	}
}
