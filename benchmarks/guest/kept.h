/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job still has after it has become a program of its own by exec: the variables marked KEPT, and memory from
 * kept_memory(), at the addresses where it was, so that pointers among them hold.
 */
#ifndef BENCHMARKS_KEPT_H
#define BENCHMARKS_KEPT_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "work.h"

#define KEPT __attribute__((section("kept")))
#define KEPT_AT ((char *)0x200000000000) /* where no linker, loader, stack or sanitizer puts anything */
#define KEPT_APART (1ULL << 36)
#define KEPT_MOST 8

/* How the jobs' names come about; see jobs.h. */
enum { NAMED_BEFORE, NAMED_AFTER_EXEC, UNNAMED };

/* File descriptors of a job across exec, beyond those that a batch opens. */
enum { KEPT_FD = 100, READY_FD, START_FD };

static KEPT uint64_t naming, kept_work_real;
static KEPT struct {
	int fd;
	uint64_t bytes;
} kept_mappings[KEPT_MOST];
static KEPT uint64_t kept_count;

extern char __start_kept[], __stop_kept[]; /* by the linker */

static void *map_kept(uint64_t i)
{
	return mmap(KEPT_AT + i * KEPT_APART, kept_mappings[i].bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, kept_mappings[i].fd, 0);
}

/* Shared with the jobs, and zero; MAP_FAILED if there is none. Kept only where jobs are to call exec. */
static void *kept_memory(uint64_t bytes)
{
	uint64_t i = kept_count;
	int fd;

	if (naming == NAMED_BEFORE)
		return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = i < KEPT_MOST && bytes <= KEPT_APART ? memfd_create("kept", 0) : -1;
	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return MAP_FAILED;
	kept_mappings[i].fd = fd;
	kept_mappings[i].bytes = bytes;
	kept_count++;
	return map_kept(i);
}

/* A copy of the variables for whoever finds it at KEPT_FD; -1 where that fails. */
static int keep_variables(void)
{
	size_t size = (size_t)(__stop_kept - __start_kept);
	int fd = memfd_create("kept", 0);

	kept_work_real = work_real;
	return fd < 0 || write(fd, __start_kept, size) != (ssize_t)size ? -1 : fd;
}

/* After exec: variables and memory as they were; false where nothing was kept. */
static int restore_kept(void)
{
	size_t size = (size_t)(__stop_kept - __start_kept);

	if (pread(KEPT_FD, __start_kept, size, 0) != (ssize_t)size || kept_count > KEPT_MOST)
		return 0;
	for (uint64_t i = 0; i < kept_count; i++)
		if (map_kept(i) == MAP_FAILED)
			return 0;
	work_real = kept_work_real;
	return 1;
}

#endif
