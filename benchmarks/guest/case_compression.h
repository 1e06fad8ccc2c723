/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compression: `gzip -9` of the lines of `seq`, expanded again and compared, by zlib, which is what gzip does.
 *
 * Each job begins with 32 KiB before its lines as its dictionary, so that every line costs the same and the ratio of the
 * sizes is one of CPU time: at small sizes, the first lines would be cheap because there is nothing to search yet.
 */
#ifndef BENCHMARKS_CASE_COMPRESSION_H
#define BENCHMARKS_CASE_COMPRESSION_H

#include <zlib.h>

#include "case.h"

#define GZIP_WINDOW 32768

static struct {
	char *text;
	size_t bytes; /* after the GZIP_WINDOW at the beginning */
} seq_text[2];

static z_stream gzip_deflate, gzip_inflate;
static uint8_t gzip_packed[65536], gzip_plain[65536];

/* Decimal counting is cheaper than printing: only the digits that change are written. */
static void seq_next(char *digits, size_t count)
{
	while (count && digits[count - 1] == '9')
		digits[--count] = '0';
	if (count)
		digits[count - 1]++;
}

static void compression_prepare(int large, uint64_t lines)
{
	/* From seven digits on, as most lines of the paper's `seq 1 3000000` have; then eight, where they do not suffice. */
	uint64_t number = 1000000 + GZIP_WINDOW + seeded(seed, (uint64_t)large) % 1000000;
	size_t before = GZIP_WINDOW / 8 + 1;
	char digits[24], *text = input_memory((lines + before) * 10 + 24), *out = text;
	size_t length = (size_t)(put_number(digits, number - before) - digits);

	for (uint64_t line = 0; line < lines + before; line++) {
		if (line == before)
			seq_text[large].text = out - GZIP_WINDOW;
		memcpy(out, digits, length);
		out += length;
		*out++ = '\n';
		seq_next(digits, length);
		if (digits[0] == '0')
			length = (size_t)(put_number(digits, number - before + line + 1) - digits);
	}
	seq_text[large].bytes = (size_t)(out - seq_text[large].text) - GZIP_WINDOW;
}

static void compression_open(const struct job *job)
{
	const uint8_t *before = (const uint8_t *)seq_text[job->large].text;

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
	const uint8_t *text = (const uint8_t *)seq_text[job->large].text + GZIP_WINDOW;
	size_t bytes = seq_text[job->large].bytes, at = 0, packed = 0;
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
	"compression", "lines", {"gzip-small", "gzip-large"}, 1,
	compression_prepare, compression_open, compression_run, NULL,
};

#endif
