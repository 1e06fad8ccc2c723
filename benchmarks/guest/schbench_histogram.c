// SPDX-License-Identifier: Apache-2.0
/* schbench: latencies in buckets that are at most a thousandth of their value wide. */
#include "schbench.h"

#define BITS 10
#define OCTAVES 32 /* up to 2^42 ns, more than an hour */
#define BUCKETS ((OCTAVES + 1) << BITS)

struct histogram {
	atomic_uint buckets[BUCKETS];
	atomic_ullong max_ns;
};

struct histogram *histogram_new(void)
{
	return calloc(1, sizeof(struct histogram));
}

void histogram_clear(struct histogram *h)
{
	for (unsigned int i = 0; i < BUCKETS; i++)
		atomic_store_explicit(&h->buckets[i], 0, memory_order_relaxed);
	atomic_store(&h->max_ns, 0);
}

/* The first 1024 buckets are 1 ns wide, the next 1024 too, and from then on each 1024 are twice as wide as those before. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int octave, index;

	if (!(ns >> BITS))
		return (unsigned int)ns;
	octave = 63 - BITS - (unsigned int)__builtin_clzll(ns);
	index = ((octave + 1) << BITS) + (unsigned int)(ns >> octave & ((1 << BITS) - 1));
	return index < BUCKETS ? index : BUCKETS - 1;
}

static double middle_ns(unsigned int bucket)
{
	unsigned int octave = (bucket >> BITS) - 1;
	uint64_t low;

	if (bucket >> BITS == 0)
		return bucket;
	low = (1ULL << BITS | (bucket & ((1 << BITS) - 1))) << octave;
	return (double)low + (double)((1ULL << octave) - 1) / 2;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned long long seen = atomic_load(&h->max_ns);

	atomic_fetch_add_explicit(&h->buckets[bucket_of(ns)], 1, memory_order_relaxed);
	while (ns > seen && !atomic_compare_exchange_weak(&h->max_ns, &seen, ns))
		;
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < BUCKETS; i++)
		count += h->buckets[i];
	return count;
}

/* Nearest rank: of `count` samples in order, the first that `percent` of all do not exceed; from 1. */
uint64_t rank_of(uint64_t count, double percent)
{
	double exact = (double)count * percent / 100;
	uint64_t rank = (uint64_t)exact;

	rank += (double)rank < exact;
	return rank ? rank : 1;
}

/* The value at that percentile, in us; 0 when there is no sample. */
double histogram_us(const struct histogram *h, double percent)
{
	uint64_t count = histogram_count(h), rank = rank_of(count, percent), seen = 0;

	for (unsigned int i = 0; count && i < BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			return middle_ns(i) / 1e3;
	}
	return 0;
}

double histogram_max_us(const struct histogram *h)
{
	return (double)h->max_ns / 1e3;
}
