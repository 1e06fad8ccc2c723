// SPDX-License-Identifier: Apache-2.0
/*
 * crunch: what real programs make a CPU do, as against the straight lines of work.h: branches that depend on data,
 * table look-ups, loads and stores all over a buffer. For the cost of emulation, not for scores.
 *
 * Every thread compresses seeded text by LZ77 with a hash table, expands it and compares, or takes its CRC-32 by table,
 * its Adler-32, and its CRC-32 bit by bit, and compares. The last line printed is one JSON object; the exit status is 1
 * when a result is wrong, 2 for wrong options.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <sched.h>

#include "work.h"

#define TEXT_BYTES 65536
#define PACKED_BYTES (TEXT_BYTES + TEXT_BYTES / 64 + 16)
#define HASH_BITS 12
#define MIN_MATCH 4
#define MAX_MATCH 131
#define MAX_LITERALS 128
#define WORDS 256

enum { COMPRESSION, CHECKSUM };

struct worker {
	pthread_t thread;
	uint64_t index;
	int ok;
	uint8_t text[TEXT_BYTES], packed[PACKED_BYTES], unpacked[TEXT_BYTES];
};

static uint64_t work = 20, threads, kind, seed = 1;
static uint32_t crc_table[256];
static pthread_barrier_t start;

/* Words of a small vocabulary, the common ones often: compresses about as well as prose does. */
static void write_text(uint8_t *text, uint64_t stream)
{
	size_t at = 0;

	for (uint64_t i = 0; at < TEXT_BYTES; i++) {
		uint64_t drawn = seeded(stream, i), word = (drawn % WORDS) * ((drawn >> 32) % WORDS) / WORDS;
		uint64_t letters = seeded(seed, word), length = 2 + letters % 9;

		for (uint64_t j = 0; j < length && at < TEXT_BYTES; j++)
			text[at++] = (uint8_t)('a' + (letters >> (8 + 5 * j)) % 26);
		if (at < TEXT_BYTES)
			text[at++] = ' ';
	}
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static size_t put_literals(uint8_t *out, size_t to, const uint8_t *from, size_t count)
{
	while (count) {
		size_t part = count < MAX_LITERALS ? count : MAX_LITERALS;

		out[to++] = (uint8_t)(part - 1);
		memcpy(out + to, from, part);
		to += part;
		from += part;
		count -= part;
	}
	return to;
}

/* A byte below 128 begins that many literals and one more; another, a match: its length, then two bytes of distance. */
static size_t pack(const uint8_t *in, uint8_t *out)
{
	uint32_t last[1 << HASH_BITS] = {0}; /* one more than where four bytes of that hash were seen */
	size_t at = 0, to = 0, literals = 0;

	while (at + MIN_MATCH <= TEXT_BYTES) {
		uint32_t hash = load32(in + at) * 2654435761u >> (32 - HASH_BITS); /* Knuth, TAOCP 3, 6.4 */
		size_t before = last[hash], length = 0;

		last[hash] = (uint32_t)at + 1;
		if (before && at - (before - 1) < 65536)
			while (length < MAX_MATCH && at + length < TEXT_BYTES && in[before - 1 + length] == in[at + length])
				length++;
		if (length < MIN_MATCH) {
			at++;
			continue;
		}
		to = put_literals(out, to, in + literals, at - literals);
		out[to++] = (uint8_t)(128 + length - MIN_MATCH);
		out[to++] = (uint8_t)(at - (before - 1));
		out[to++] = (uint8_t)((at - (before - 1)) >> 8);
		literals = at += length;
	}
	return put_literals(out, to, in + literals, TEXT_BYTES - literals);
}

/* Returns the bytes written; what does not make sense ends it early, and the comparison fails. */
static size_t unpack(const uint8_t *in, size_t size, uint8_t *out)
{
	size_t at = 0, to = 0;

	while (at < size) {
		size_t length = in[at] < 128 ? in[at] + 1u : in[at] - 128u + MIN_MATCH;

		if (to + length > TEXT_BYTES)
			return to;
		if (in[at] < 128) {
			memcpy(out + to, in + at + 1, length);
			at += 1 + length;
			to += length;
			continue;
		}
		size_t distance = in[at + 1] | (size_t)in[at + 2] << 8;

		if (distance == 0 || distance > to)
			return to;
		for (; length; length--, to++)
			out[to] = out[to - distance];
		at += 3;
	}
	return to;
}

static int compression_round(struct worker *me)
{
	size_t size = pack(me->text, me->packed);

	return size < TEXT_BYTES && unpack(me->packed, size, me->unpacked) == TEXT_BYTES &&
	       !memcmp(me->text, me->unpacked, TEXT_BYTES);
}

static uint32_t crc_step(uint32_t crc)
{
	return crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
}

static void make_crc_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		crc_table[byte] = byte;
		for (int bit = 0; bit < 8; bit++)
			crc_table[byte] = crc_step(crc_table[byte]);
	}
}

static uint32_t crc32(const uint8_t *data, size_t size)
{
	uint32_t crc = ~0u;

	for (; size; size--)
		crc = crc >> 8 ^ crc_table[(crc ^ *data++) & 255];
	return ~crc;
}

static uint32_t crc32_by_bits(const uint8_t *data, size_t size)
{
	uint32_t crc = ~0u;

	for (; size; size--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc_step(crc);
	}
	return ~crc;
}

static uint32_t adler32(const uint8_t *data, size_t size)
{
	uint32_t a = 1, b = 0;

	for (; size; size--) {
		a = (a + *data++) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static int checksum_round(struct worker *me, uint64_t round)
{
	uint32_t adler = adler32(me->text, TEXT_BYTES), crc = crc32(me->text, TEXT_BYTES);
	int ok = crc == crc32_by_bits(me->text, TEXT_BYTES);

	me->text[round % TEXT_BYTES] ^= 1; /* one bit is what both sums must never miss */
	return ok && crc != crc32(me->text, TEXT_BYTES) && adler != adler32(me->text, TEXT_BYTES);
}

static void *crunch(void *arg)
{
	struct worker *me = arg;

	write_text(me->text, ~seed - me->index);
	me->ok = 1;
	pthread_barrier_wait(&start);
	for (uint64_t round = 0; round < work; round++)
		me->ok &= kind == COMPRESSION ? compression_round(me) : checksum_round(me, round);
	return NULL;
}

/* The values that the two sums have for "123456789" in the catalogue of CRC algorithms and in RFC 1950. */
static int sums_are_right(void)
{
	const uint8_t *check = (const uint8_t *)"123456789";

	return crc32(check, 9) == 0xcbf43926 && crc32_by_bits(check, 9) == 0xcbf43926 && adler32(check, 9) == 0x091e01de;
}

int main(int argc, char **argv)
{
	const struct option_spec specs[] = {
		{"--work", &work, 1, 1000000}, {"--threads", &threads, 0, 1024},
		{"--kind", &kind, 0, 1},       {"--seed", &seed, 0, UINT64_MAX},
		{NULL, NULL, 0, 0},
	};
	struct worker *workers;
	cpu_set_t cpus;
	uint64_t start_ns;
	int ok;

	read_options(argc, argv, specs);
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	threads = threads ? threads : (uint64_t)CPU_COUNT(&cpus);
	make_crc_table();
	ok = sums_are_right();
	workers = calloc(threads, sizeof(*workers));
	pthread_barrier_init(&start, NULL, (unsigned int)threads + 1);
	for (uint64_t i = 0; workers && i < threads; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, crunch, &workers[i])) {
			perror("crunch: cannot start a thread");
			return 1;
		}
	}
	if (!workers) {
		perror("crunch: no memory");
		return 1;
	}
	pthread_barrier_wait(&start);
	start_ns = now_ns();
	for (uint64_t i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		ok &= workers[i].ok;
	}
	printf("{\"kind\":\"%s\",\"threads\":%llu,\"rounds\":%llu,\"wall_ms\":%.3f,\"ok\":%s}\n",
	       kind == COMPRESSION ? "compression" : "checksum", (unsigned long long)threads,
	       (unsigned long long)work, (double)(now_ns() - start_ns) / 1e6, ok ? "true" : "false");
	return ok ? 0 : 1;
}
