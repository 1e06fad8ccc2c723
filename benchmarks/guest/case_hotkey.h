/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotkey: a group-by over rows of text, "key,value", of which one key has far more than its share. The counts and
 * sums of every group are compared with those that the rows were written from.
 *
 * The paper's rows: 99 keys of 8000 and a hot one of 15000 (small), 99 of 100000 and one of 800000 (large).
 */
#ifndef BENCHMARKS_CASE_HOTKEY_H
#define BENCHMARKS_CASE_HOTKEY_H

#include "case.h"

#define HOT_KEYS 100
#define HOT_SLOTS 256 /* a power of two, at least twice the keys */
#define HOT_NAME 8
#define HOT_VALUES 1000
#define HOT_DIGITS 4

struct group {
	char name[HOT_NAME];
	uint64_t rows, sum;
};

static KEPT struct {
	char *text;
	size_t bytes;
	struct group groups[HOT_KEYS];
} hot_rows[2];

/* Names of eight letters, none like another: the last two count. */
static void name_group(struct group *group, uint64_t key)
{
	uint64_t letters = seeded(seed, 1000 + key);

	for (int i = 0; i < HOT_NAME - 2; i++)
		group->name[i] = (char)('a' + (letters >> (5 * i)) % 26);
	group->name[HOT_NAME - 2] = (char)('a' + key / 26);
	group->name[HOT_NAME - 1] = (char)('a' + key % 26);
}

/* Values as text: printing a number costs more than to group by its row. */
static const char *value_text(uint64_t value)
{
	static char text[HOT_VALUES][HOT_DIGITS];

	if (!text[0][0])
		for (uint64_t i = 0; i < HOT_VALUES; i++)
			put_number(text[i], 1000 + 9 * i);
	return text[value];
}

static void hotkey_prepare(int large, uint64_t rows)
{
	uint64_t cold = large ? 100000 : 8000, hot = large ? 800000 : 15000, all = (HOT_KEYS - 1) * cold + hot;
	struct group *groups = hot_rows[large].groups;
	char *out = hot_rows[large].text = input_memory(rows * (HOT_NAME + 6));

	for (uint64_t key = 0; key < HOT_KEYS; key++)
		name_group(&groups[key], key);
	for (uint64_t row = 0; row < rows; row++) {
		uint64_t drawn = seeded(seed ^ 0x407 ^ (uint64_t)large, row), key = (drawn & 0xffffffff) * all >> 32;
		struct group *group = &groups[key < hot ? HOT_KEYS - 1 : (key - hot) / cold];
		uint64_t value = (drawn >> 32) % HOT_VALUES;

		memcpy(out, group->name, HOT_NAME);
		out[HOT_NAME] = ',';
		memcpy(out + HOT_NAME + 1, value_text(value), HOT_DIGITS);
		out += HOT_NAME + 1 + HOT_DIGITS;
		*out++ = '\n';
		group->rows++;
		group->sum += 1000 + 9 * value;
	}
	hot_rows[large].bytes = (size_t)(out - hot_rows[large].text);
}

/* The group of that name, a new one if there is none; FNV-1a and linear probing. Null when there is no room. */
static struct group *find_group(struct group *table, const char *name)
{
	uint32_t hash = 2166136261u;

	for (int i = 0; i < HOT_NAME; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	for (uint32_t probe = 0; probe < HOT_SLOTS; probe++) {
		struct group *group = &table[(hash + probe) % HOT_SLOTS];

		if (!group->name[0])
			memcpy(group->name, name, HOT_NAME);
		if (!memcmp(group->name, name, HOT_NAME))
			return group;
	}
	return NULL;
}

static int hotkey_run(const struct job *job)
{
	const char *at = hot_rows[job->large].text, *end = at + hot_rows[job->large].bytes;
	struct group table[HOT_SLOTS] = {0};

	while (at < end) {
		struct group *group = find_group(table, at);
		uint64_t value = 0;

		for (at += HOT_NAME + 1; *at != '\n'; at++)
			value = value * 10 + (uint64_t)(*at - '0');
		at++;
		if (!group)
			return 0;
		group->rows++;
		group->sum += value;
	}
	for (int key = 0; key < HOT_KEYS; key++) {
		const struct group *truth = &hot_rows[job->large].groups[key], *found = find_group(table, truth->name);

		if (!found || found->rows != truth->rows || found->sum != truth->sum)
			return 0;
	}
	return 1;
}

static const struct batch_case hotkey_case = {
	"hotkey", "rows", {"hotkey-small", "hotkey-large"}, 100, 1ULL << 31,
	hotkey_prepare, NULL, hotkey_run, NULL,
};

#endif
