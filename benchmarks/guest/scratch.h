/* SPDX-License-Identifier: Apache-2.0 */
/* Files for the cases that are about files: a folder of the program's own, gone when the batch is over. */
#ifndef BENCHMARKS_SCRATCH_H
#define BENCHMARKS_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "case.h"

#define SCRATCH_PATH 256

static KEPT char scratch[SCRATCH_PATH / 2]; /* empty until it is made */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
	(void)info;
	(void)kind;
	(void)where;
	return remove(path);
}

static void scratch_clean(void)
{
	if (scratch[0])
		nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	scratch[0] = 0;
}

/*
 * The folder, made at the first call. In the guest that is a tmpfs: files cost what the page cache costs, and no
 * disk.
 */
static const char *scratch_folder(void)
{
	const char *base = getenv("TMPDIR");

	if (scratch[0])
		return scratch;
	snprintf(scratch, sizeof(scratch), "%s/batchcase.%d", base && strlen(base) < 90 ? base : "/tmp", (int)getpid());
	if (mkdir(scratch, 0700)) {
		fprintf(stderr, "batchcase: cannot make %s: %s\n", scratch, strerror(errno));
		scratch[0] = 0;
		exit(1);
	}
	return scratch;
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t written = write(fd, at, size);

		if (written <= 0)
			return -1;
		at += written;
		size -= (size_t)written;
	}
	return 0;
}

/* Ends the program, after cleaning up, when an input cannot be written: a tmpfs has half of the guest's memory. */
static void scratch_failed(const char *path)
{
	fprintf(stderr, "batchcase: cannot write %s: %s\n", path, strerror(errno));
	scratch_clean();
	exit(1);
}

#endif
