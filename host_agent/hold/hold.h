/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of schedcp-hold share. */
#ifndef SCHEDCP_HOLD_H
#define SCHEDCP_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOST_STOPS 8

struct options {
	const char *object, *sys, *stops[MOST_STOPS];
	int nr_stops, words;	/* where the loader's words begin in argv */
	int lease_ms;
	bool shadow;
};

struct scx {	/* one reading of the kernel's files */
	char state[16], ops[132];
	unsigned long enable_seq;
};

/* options.c */
bool read_options(struct options *options, int argc, char **argv);

/* confine.c */
bool confine(void);

/* say.c: events are lines of JSON on stdout, which is a socket to the agent and never waited for */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_end(const char *event, const char *key, const char *word, uint64_t detach_ns, const char *record);
const char *quoted(const char *text, char *into, size_t size);

/* kernel.c */
uint64_t now_ns(void);
void read_scx(const char *sys, struct scx *scx);
bool scx_is(const struct scx *scx, const char *ops, unsigned long enable_seq);

#endif
