/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git: what `git add` does to each file: the SHA-1 of "blob SIZE\0" and the contents, the same compressed by zlib at
 * level 1 (git's own for loose objects) into a file beside the objects, renamed to objects/XX/YYYY… unless that is
 * there. Every object is then read back, expanded and hashed again, as `git fsck` does.
 *
 * The paper's trees: two files of 20 MB and 100 small ones (small), two of 100 MB and 500 of 1 MB (large). The size
 * of a job is that of its tree, of which the files keep their shares.
 */
#ifndef BENCHMARKS_CASE_GIT_H
#define BENCHMARKS_CASE_GIT_H

#include <zlib.h>

#include "scratch.h"
#include "sha.h"

#define GIT_CHUNK 16384
#define GIT_LINES 512
#define GIT_LINE 64

struct tree {
	uint64_t files, big, little; /* the first two are big; bytes of each kind */
};

struct object {
	uint32_t id[5];
};

static char git_lines[GIT_LINES][GIT_LINE];
static KEPT struct tree trees[2];
static z_stream git_deflate, git_inflate;
static uint8_t git_in[GIT_CHUNK], git_out[GIT_CHUNK];

/* A few letters again and again, and other characters between: zlib makes less than half of it, as of sources. */
static void make_lines(void)
{
	for (uint64_t i = 0; i < GIT_LINES; i++) {
		for (uint64_t j = 0; j < GIT_LINE - 1; j++) {
			uint64_t drawn = seeded(seed, 4000 + i * GIT_LINE + j);

			git_lines[i][j] = (char)(drawn % 5 ? 'a' + drawn % 6 : ' ' + drawn / 8 % 64);
		}
		git_lines[i][GIT_LINE - 1] = '\n';
	}
}

static uint64_t file_size(const struct tree *tree, uint64_t file)
{
	return file < 2 ? tree->big : tree->little;
}

static void git_path(char *path, int large, uint64_t file)
{
	snprintf(path, SCRATCH_PATH, "%s/%s-%llu", scratch_folder(), large ? "large" : "small", (unsigned long long)file);
}

/* No file is like another: each draws lines of its own, and so does each line. */
static void write_source(int large, uint64_t file, uint64_t size)
{
	char path[SCRATCH_PATH];
	uint64_t at = 0;
	int fd;

	git_path(path, large, file);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		scratch_failed(path);
	while (at < size) {
		size_t part = size - at < GIT_CHUNK ? size - at : GIT_CHUNK;

		for (size_t i = 0; i < part; i += GIT_LINE) {
			uint64_t drawn = seeded(seed ^ (file << 1 | (uint64_t)large) << 32, at + i);

			memcpy(git_in + i, git_lines[drawn % GIT_LINES], GIT_LINE);
			memcpy(git_in + i, &drawn, 8);
		}
		if (write_all(fd, git_in, part))
			scratch_failed(path);
		at += part;
	}
	close(fd);
}

static uint64_t fewest(uint64_t most, uint64_t asked)
{
	return asked < 1 ? 1 : asked < most ? asked : most;
}

static void git_prepare(int large, uint64_t size)
{
	static const uint32_t abc[5] = {0xa9993e36, 0x4706816a, 0xba3e2571, 0x7850c26c, 0x9cd0d89d};
	struct tree *tree = &trees[large];

	if (!sha_is_right(sha1(), abc, 5)) {
		fprintf(stderr, "batchcase: this SHA-1 is wrong\n");
		exit(1);
	}
	/* All the files only where the large tree's have a page each: else a job would be what its files cost empty. */
	tree->files = 2 + (large ? fewest(500, size / 5734) : fewest(100, size / 1638));
	tree->big = large ? size / 7 : size * 499 / 1000;
	tree->little = (size - 2 * tree->big) / (tree->files - 2);
	make_lines();
	for (uint64_t file = 0; file < tree->files; file++)
		write_source(large, file, file_size(tree, file));
}

static void git_open(const struct job *job)
{
	char path[SCRATCH_PATH];

	snprintf(path, sizeof(path), "%s/objects-%llu", scratch_folder(), (unsigned long long)job->index);
	/* A repository that is there, as for `git add`; the objects' folders are made when the first object needs them. */
	if (deflateInit(&git_deflate, 1) != Z_OK || inflateInit(&git_inflate) != Z_OK || mkdir(path, 0700) || chdir(path))
		_exit(1);
}

static int deflate_into(int fd, const void *data, size_t size, int flush)
{
	git_deflate.next_in = (uint8_t *)(uintptr_t)data;
	git_deflate.avail_in = (uInt)size;
	do {
		git_deflate.next_out = git_out;
		git_deflate.avail_out = sizeof(git_out);
		if (deflate(&git_deflate, flush) == Z_STREAM_ERROR ||
		    write_all(fd, git_out, sizeof(git_out) - git_deflate.avail_out))
			return -1;
	} while (git_deflate.avail_out == 0);
	return 0;
}

static int object_path(char *path, const struct object *object)
{
	const uint32_t *id = object->id;

	return snprintf(path, SCRATCH_PATH, "%02x/%06x%08x%08x%08x%08x", id[0] >> 24, id[0] & 0xffffff, id[1], id[2], id[3],
			id[4]);
}

static int move_object(const struct object *object)
{
	char path[SCRATCH_PATH], folder[3];

	object_path(path, object);
	memcpy(folder, path, 2);
	folder[2] = 0;
	if (!access(path, F_OK))
		return unlink("tmp_obj");
	if (mkdir(folder, 0700) && errno != EEXIST)
		return -1;
	return rename("tmp_obj", path);
}

static int add_file(const char *path, uint64_t size, struct object *object)
{
	char header[32];
	int length = snprintf(header, sizeof(header), "blob %llu", (unsigned long long)size) + 1;
	int from = open(path, O_RDONLY), to = open("tmp_obj", O_WRONLY | O_CREAT | O_EXCL, 0444), bad = from < 0 || to < 0;
	struct sha sha = sha1();
	uint64_t total = 0;
	ssize_t got = 0;

	deflateReset(&git_deflate);
	sha_add(&sha, header, (size_t)length);
	bad = bad || deflate_into(to, header, (size_t)length, Z_NO_FLUSH);
	while (!bad && (got = read(from, git_in, sizeof(git_in))) > 0) {
		sha_add(&sha, git_in, (size_t)got);
		bad = deflate_into(to, git_in, (size_t)got, Z_NO_FLUSH);
		total += (uint64_t)got;
	}
	bad = bad || got < 0 || total != size || deflate_into(to, NULL, 0, Z_FINISH);
	close(from);
	close(to);
	if (bad)
		return -1;
	memcpy(object->id, sha_end(&sha), sizeof(object->id));
	return move_object(object);
}

/* Does the object expand to what its name says? */
static int check_object(const struct object *object)
{
	char path[SCRATCH_PATH];
	struct sha sha = sha1();
	int fd, status = Z_OK;
	ssize_t got;

	object_path(path, object);
	fd = open(path, O_RDONLY);
	inflateReset(&git_inflate);
	while (fd >= 0 && status == Z_OK && (got = read(fd, git_in, sizeof(git_in))) > 0) {
		git_inflate.next_in = git_in;
		git_inflate.avail_in = (uInt)got;
		do {
			git_inflate.next_out = git_out;
			git_inflate.avail_out = sizeof(git_out);
			status = inflate(&git_inflate, Z_NO_FLUSH);
			if (status == Z_BUF_ERROR)
				status = Z_OK; /* no more to be had from this input */
			sha_add(&sha, git_out, sizeof(git_out) - git_inflate.avail_out);
		} while (status == Z_OK && git_inflate.avail_out == 0);
	}
	close(fd);
	return status == Z_STREAM_END && !memcmp(sha_end(&sha), object->id, sizeof(object->id));
}

static int git_run(const struct job *job)
{
	const struct tree *tree = &trees[job->large];
	struct object *objects = calloc(tree->files, sizeof(*objects));
	int ok = objects != NULL;

	for (uint64_t file = 0; ok && file < tree->files; file++) {
		char path[SCRATCH_PATH];

		git_path(path, job->large, file);
		ok = !add_file(path, file_size(tree, file), &objects[file]);
	}
	for (uint64_t file = 0; ok && file < tree->files; file++)
		ok = check_object(&objects[file]);
	free(objects);
	return ok;
}

static const struct batch_case git_case = {
	"git", "bytes", {"git-add-small", "git-add-large"}, 4000, 1ULL << 32, /* a file less than zlib takes at once */
	git_prepare, git_open, git_run, scratch_clean,
};

#endif
