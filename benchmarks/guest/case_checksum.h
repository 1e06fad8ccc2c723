/* SPDX-License-Identifier: Apache-2.0 */
/* checksum: `sha256sum` of a file of random bytes, twice, as one does before and after a copy; both must agree. */
#ifndef BENCHMARKS_CASE_CHECKSUM_H
#define BENCHMARKS_CASE_CHECKSUM_H

#include "scratch.h"
#include "sha.h"

#define CHECKSUM_CHUNK 32768 /* what coreutils' sha256sum reads at a time */

static uint8_t checksum_buffer[CHECKSUM_CHUNK];

static void checksum_path(char *path, int large)
{
	snprintf(path, SCRATCH_PATH, "%s/%s", scratch_folder(), large ? "large" : "small");
}

static void checksum_prepare(int large, uint64_t size)
{
	static const uint32_t abc[8] = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
					0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad};
	uint64_t *words = (uint64_t *)(void *)checksum_buffer, at = 0;
	char path[SCRATCH_PATH];
	int fd;

	if (!sha_is_right(sha256(), abc, 8)) {
		fprintf(stderr, "batchcase: this SHA-256 is wrong\n");
		exit(1);
	}
	checksum_path(path, large);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		scratch_failed(path);
	while (at < size) {
		size_t part = size - at < CHECKSUM_CHUNK ? size - at : CHECKSUM_CHUNK;

		for (size_t i = 0; i < CHECKSUM_CHUNK / 8; i++)
			words[i] = seeded(seed ^ (uint64_t)large, at / 8 + i);
		if (write_all(fd, checksum_buffer, part))
			scratch_failed(path);
		at += part;
	}
	close(fd);
}

/* Bytes read, or -1. */
static int64_t sum_file(const char *path, uint32_t *digest)
{
	struct sha sha = sha256();
	int64_t total = 0;
	ssize_t got;
	int fd = open(path, O_RDONLY);

	while (fd >= 0 && (got = read(fd, checksum_buffer, sizeof(checksum_buffer))) > 0) {
		sha_add(&sha, checksum_buffer, (size_t)got);
		total += got;
	}
	if (fd < 0 || got < 0)
		return -1;
	close(fd);
	memcpy(digest, sha_end(&sha), 32);
	return total;
}

static int checksum_run(const struct job *job)
{
	uint32_t before[8], after[8];
	char path[SCRATCH_PATH];

	checksum_path(path, job->large);
	return sum_file(path, before) == (int64_t)job->size && sum_file(path, after) == (int64_t)job->size &&
	       !memcmp(before, after, sizeof(before));
}

static const struct batch_case checksum_case = {
	"checksum", "bytes", {"sha256-small", "sha256-large"}, 1, 1ULL << 40,
	checksum_prepare, NULL, checksum_run, scratch_clean,
};

#endif
