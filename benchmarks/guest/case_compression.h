/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compression: `gzip -9` of the lines of `seq`, expanded again and compared, by zlib, which is what gzip does.
 *
 * Each job begins with 32 KiB before its lines as its dictionary, so that every line costs the same and the ratio of
 * the sizes is one of CPU time: at small sizes, the first lines would be cheap because there is nothing to search
 * yet.
 */
#ifndef BENCHMARKS_CASE_COMPRESSION_H
#define BENCHMARKS_CASE_COMPRESSION_H

#include <zlib.h>

#include "case.h"

#define GZIP_WINDOW 32768
#define SEQ_LINE 9

static KEPT char *seq_text; /* GZIP_WINDOW bytes more than the longest job needs, before its lines */
static KEPT uint64_t seq_lines[2];

static z_stream gzip_deflate, gzip_inflate;
static uint8_t gzip_packed[65536], gzip_plain[65536];

/* Decimal counting is cheaper than printing: only the digits that change are written. */
static void seq_next(char *digits)
{
	int at = SEQ_LINE - 2;

	while (digits[at] == '9')
		digits[at--] = '0';
	digits[at]++;
}

/*
 * One text for all: what a line costs depends on its digits (the search is long where thousands change), and so the
 * small jobs take their lines from all over the large one's. Numbers of eight digits, as most lines of the paper's
 * `seq 1 20000000` have.
 */
static void compression_prepare(int large, uint64_t lines)
{
	uint64_t most;
	char line[SEQ_LINE + 16];

	seq_lines[large] = lines;
	if (!large)
		return;
	most = lines > seq_lines[SMALL] ? lines : seq_lines[SMALL];
	most += GZIP_WINDOW / SEQ_LINE + 1;
	seq_text = input_memory(most * SEQ_LINE);
	*put_number(line, 10000000 + seeded(seed, 0) % 50000000) = '\n';
	for (uint64_t i = 0; i < most; i++) {
		memcpy(seq_text + i * SEQ_LINE, line, SEQ_LINE);
		seq_next(line);
	}
}

/* Where the job's lines begin. */
static const uint8_t *lines_of(const struct job *job)
{
	uint64_t spare = seq_lines[LARGE] > job->size ? seq_lines[LARGE] - job->size : 0;
	uint64_t line = job->large ? 0 : spare * job->index / job_count;

	return (const uint8_t *)seq_text + (GZIP_WINDOW / SEQ_LINE + 1 + line) * SEQ_LINE;
}

static void compression_open(const struct job *job)
{
	const uint8_t *before = lines_of(job) - GZIP_WINDOW;

	/* Raw deflate, for gzip's header allows no dictionary; its CRC-32 is taken beside it. */
	if (deflateInit2(&gzip_deflate, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
	    inflateInit2(&gzip_inflate, -15) != Z_OK ||
	    deflateSetDictionary(&gzip_deflate, before, GZIP_WINDOW) != Z_OK ||
	    inflateSetDictionary(&gzip_inflate, before, GZIP_WINDOW) != Z_OK)
		_exit(1);
	memset(gzip_packed, 1, sizeof(gzip_packed));
	memset(gzip_plain, 1, sizeof(gzip_plain));
}

/* Expands what was packed and compares it with the text at `*at`, which it moves on. */
static int expand_and_compare(const uint8_t *text, size_t bytes, size_t *at, uLong *crc)
{
	do {
		size_t got;
		int status;

		gzip_inflate.next_out = gzip_plain;
		gzip_inflate.avail_out = sizeof(gzip_plain);
		status = inflate(&gzip_inflate, Z_NO_FLUSH);
		got = sizeof(gzip_plain) - gzip_inflate.avail_out;
		if ((status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) || got > bytes - *at ||
		    memcmp(text + *at, gzip_plain, got))
			return 0;
		*crc = crc32(*crc, gzip_plain, (uInt)got);
		*at += got;
	} while (gzip_inflate.avail_out == 0);
	return 1;
}

static int compression_run(const struct job *job)
{
	const uint8_t *text = lines_of(job);
	size_t bytes = job->size * SEQ_LINE, at = 0, packed = 0;
	uLong crc = crc32(crc32(0, NULL, 0), text, (uInt)bytes), expanded = crc32(0, NULL, 0);
	int status;

	gzip_deflate.next_in = (uint8_t *)(uintptr_t)text; /* zlib does not write to it, and says so only with ZLIB_CONST */
	gzip_deflate.avail_in = (uInt)bytes;
	do {
		gzip_deflate.next_out = gzip_packed;
		gzip_deflate.avail_out = sizeof(gzip_packed);
		status = deflate(&gzip_deflate, Z_FINISH);
		gzip_inflate.next_in = gzip_packed;
		gzip_inflate.avail_in = sizeof(gzip_packed) - gzip_deflate.avail_out;
		packed += gzip_inflate.avail_in;
		if (!expand_and_compare(text, bytes, &at, &expanded))
			return 0;
	} while (status == Z_OK);
	return status == Z_STREAM_END && at == bytes && crc == expanded && packed < bytes / 2 + 16;
}

static const struct batch_case compression_case = {
	"compression", "lines", {"gzip-small", "gzip-large"}, 1, 39000000, /* the numbers keep their eight digits */
	compression_prepare, compression_open, compression_run, NULL,
};

#endif
