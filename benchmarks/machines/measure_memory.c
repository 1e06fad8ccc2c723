/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What caches and memory give. A working set comes back to a core as its program asks for it: in an order that no prefetcher
 * guesses, by CHAINS loads at a time, each of which waits for the one before it in its chain. One chain would be a walk of a
 * list, and with as many as a core bears it would be a copy; 8 stands for programs (benchmarks/machines/README.md).
 */
#include "measure.h"

#include <pthread.h>
#include <sys/mman.h>

static volatile uint64_t sink;

static void *memory(size_t bytes)
{
	size_t room = (bytes + (2 << 20)) & ~((size_t)(2 << 20) - 1);
	void *at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(4, "%zu MiB of memory", bytes >> 20);
	madvise(at, room, MADV_HUGEPAGE);
	memset(at, 1, bytes);
	return at;
}

struct lines lines_of(size_t kib)
{
	struct lines lines = { memory(kib << 10), NULL, (kib << 10) / LINE };
	uint64_t x = 88172645463325252ULL;

	lines.order = memory(lines.count * sizeof(*lines.order));
	for (size_t i = 0; i < lines.count; i++)
		lines.order[i] = i;
	for (size_t i = lines.count - 1; i; i--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size_t j = x % (i + 1);
		uint32_t other = lines.order[j];

		lines.order[j] = lines.order[i];
		lines.order[i] = other;
	}
	return lines;
}

/* Each line's first word leads to the line `chains` further on in the order, round and round. */
void chain(struct lines *lines, size_t chains)
{
	size_t count = lines->count -= lines->count % chains;

	for (size_t i = 0; i < count; i++)
		*(char **)(lines->at + (size_t)lines->order[i] * LINE) =
			lines->at + (size_t)lines->order[(i + chains) % count] * LINE;
}

uint64_t read_ns(const struct lines *lines)
{
	char *at[CHAINS];
	uint64_t began;

	for (int i = 0; i < CHAINS; i++)
		at[i] = lines->at + (size_t)lines->order[i] * LINE;
	began = now_ns();
	for (size_t n = lines->count / CHAINS; n; n--)
		for (int i = 0; i < CHAINS; i++)
			at[i] = *(char *volatile *)at[i];
	for (int i = 0; i < CHAINS; i++)
		sink += (uintptr_t)at[i];
	return now_ns() - began;
}

/* Out of every cache, wherever it is. */
static void flush(const struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		__builtin_ia32_clflush(lines->at + i * LINE);
	__builtin_ia32_mfence();
}

void refill(char **args)
{
	int from = atoi(args[0]), to = atoi(args[1]), reps = atoi(args[4]);
	size_t kib = strtoul(args[2], NULL, 10), swept = strtoul(args[3], NULL, 10);
	struct lines others = { 0 };

	pin(from);
	struct lines lines = lines_of(kib);

	chain(&lines, CHAINS);
	if (swept) {
		others = lines_of(swept);
		chain(&others, CHAINS);
	}
	for (int rep = -1; rep < reps; rep++) {
		uint64_t warm, cold;

		pin(from);
		for (int i = 0; i < 3; i++)
			warm = read_ns(&lines);
		if (swept)
			read_ns(&others);
		if (!strcmp(args[3], "flush"))
			flush(&lines);
		pin(to);
		cold = read_ns(&lines);
		if (rep >= 0)
			sample(cold > warm ? (double)lines.count * LINE / (cold - warm) : 0);
	}
}

void chase(char **args)
{
	int reps = atoi(args[2]);

	pin(atoi(args[0]));
	struct lines lines = lines_of(strtoul(args[1], NULL, 10));
	size_t steps = lines.count < 20000 ? 20000 : lines.count < 200000 ? lines.count : 200000;
	char **at = (char **)(lines.at + (size_t)lines.order[0] * LINE);

	chain(&lines, 1);
	for (int rep = -1; rep < reps; rep++) {
		uint64_t began = now_ns();

		for (size_t i = 0; i < steps; i++)
			at = (char **)*(char *volatile *)at;
		sink += (uintptr_t)at;
		if (rep >= 0)
			sample((double)(now_ns() - began) / steps);
	}
}

struct reader {
	int cpu, reps;
	size_t bytes;
	uint64_t began, ended;
	pthread_barrier_t *together;
};

static void *read_stream(void *given)
{
	struct reader *reader = given;

	pin(reader->cpu);
	uint64_t *at = memory(reader->bytes), sum = 0;

	for (int rep = -1; rep < reader->reps; rep++) {
		pthread_barrier_wait(reader->together);
		reader->began = now_ns();
		for (size_t i = 0; i < reader->bytes / 8; i += 8)
			sum += at[i] + at[i + 4];
		__asm__ volatile("" : : "r"(sum));
		reader->ended = now_ns();
		pthread_barrier_wait(reader->together);
	}
	return NULL;
}

void stream(char **args)
{
	static struct reader readers[1024];
	static pthread_barrier_t together;
	int count = 0, reps = atoi(args[2]);
	size_t bytes = strtoul(args[1], NULL, 10) << 10;

	for (char *word = strtok(args[0], ","); word && count < 1024; word = strtok(NULL, ","))
		readers[count++] = (struct reader){ atoi(word), reps, bytes, 0, 0, &together };
	pthread_barrier_init(&together, NULL, count + 1);
	for (int i = 0; i < count; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, read_stream, &readers[i]))
			errx(4, "no thread");
	}
	for (int rep = -1; rep < reps; rep++) {
		uint64_t took = 1;

		pthread_barrier_wait(&together);
		pthread_barrier_wait(&together);
		/* Each by its own time, the slowest counts: they do not begin at once where a CPU is not idle. */
		for (int i = 0; i < count; i++)
			if (readers[i].ended - readers[i].began > took)
				took = readers[i].ended - readers[i].began;
		if (rep >= 0)
			sample((double)bytes * count / took);
	}
}

/* A miss in some 200 instructions, as programs have that find no room in a cache. */
static double pass_ns(const struct lines *lines, size_t steps)
{
	static size_t next;
	uint64_t began = now_ns(), x = 1;

	for (size_t i = 0; i < steps; i++) {
		if (++next >= lines->count)
			next = 0;
		x += *(volatile uint64_t *)(lines->at + (size_t)lines->order[next] * LINE);
		for (int j = 0; j < 48; j++) {
			x = (x ^ (x >> 7)) + 3;
			__asm__ volatile("" : "+r"(x));
		}
	}
	sink += x;
	return (double)(now_ns() - began) / steps;
}

void beyond(char **args)
{
	int reps = atoi(args[3]);

	pin(atoi(args[0]));
	struct lines inside = lines_of(strtoul(args[1], NULL, 10)), outside = lines_of(strtoul(args[2], NULL, 10));

	for (int rep = -1; rep < reps; rep++) {
		pass_ns(&inside, 2 * inside.count);
		double in = pass_ns(&inside, 20000), out = pass_ns(&outside, 20000);

		if (rep >= 0)
			sample(in / out);
	}
}
