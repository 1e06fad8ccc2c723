/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that replay.c carries out, as benchmarks/trace/program.py writes it: a header, names of 16 bytes, the
 * working set in KiB of a process of each name (0: not known), where each task's operations start (and, last, where
 * they end), then the operations. Everything is little-endian.
 */
#ifndef BENCHMARKS_REPLAY_PROGRAM_H
#define BENCHMARKS_REPLAY_PROGRAM_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM_MAGIC "SCHEDRP2"
#define NAME_LEN 16

enum op_kind { OP_FORK, OP_THREAD, OP_WAKE, OP_WAIT, OP_SLEEP, OP_NAME, OP_NICE, OP_EXIT, OP_NOTHING, OP_KINDS };

struct program_header {
	char magic[8];
	uint32_t tasks, ops, edges, names;
	uint64_t critical_us, total_us; /* longest chain of bursts, sleeps and edges; CPU time of all tasks */
};

struct op {
	uint32_t kind : 4, after_us : 28; /* CPU time from the operation before to this one */
	int32_t arg;
};

struct program {
	const struct program_header *header;
	const char (*names)[NAME_LEN]; /* names[0] is the name with which task 0 starts */
	const uint32_t *footprint_kib; /* by name */
	const uint32_t *first;
	const struct op *ops;
};

static inline int program_fail(const char *path, const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", path, what);
	return -1;
}

/* Enough that a wrong file cannot lead to a wild access; that it comes to its end is checked where it is made. */
static inline bool program_sound(const struct program *p)
{
	const struct program_header *h = p->header;

	for (uint32_t task = 0; task < h->tasks; task++)
		if (p->first[task] >= p->first[task + 1] || p->first[task + 1] > h->ops ||
		    p->ops[p->first[task + 1] - 1].kind != OP_EXIT)
			return false;
	for (uint32_t i = 0; i < h->ops; i++) {
		const struct op *op = &p->ops[i];
		uint32_t limit = op->kind <= OP_THREAD ? h->tasks : op->kind <= OP_WAIT ? h->edges :
				 op->kind == OP_NAME ? h->names : UINT32_MAX;

		if (op->kind >= OP_KINDS || (uint32_t)op->arg >= limit)
			return false;
	}
	return p->first[0] == 0;
}

static inline int program_open(const char *path, struct program *p)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct program_header *h;
	struct stat st;
	uint64_t size;
	char *at;

	if (fd < 0 || fstat(fd, &st))
		return program_fail(path, "cannot be opened");
	size = (uint64_t)st.st_size;
	at = size >= sizeof(*h) ? mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0) : MAP_FAILED;
	close(fd);
	h = (const struct program_header *)at;
	if (at == MAP_FAILED || memcmp(h->magic, PROGRAM_MAGIC, sizeof(h->magic)))
		return program_fail(path, "not a program for this replayer");
	if (!h->tasks || !h->names || size != sizeof(*h) + (uint64_t)h->names * (NAME_LEN + 4) + ((uint64_t)h->tasks + 1) * 4 +
						      (uint64_t)h->ops * sizeof(struct op))
		return program_fail(path, "truncated");
	p->header = h;
	p->names = (const char (*)[NAME_LEN])(at + sizeof(*h));
	p->footprint_kib = (const uint32_t *)(p->names + h->names);
	p->first = p->footprint_kib + h->names;
	p->ops = (const struct op *)(p->first + h->tasks + 1);
	return program_sound(p) ? 0 : program_fail(path, "an operation makes no sense");
}

#endif
