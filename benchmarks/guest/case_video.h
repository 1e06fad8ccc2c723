/* SPDX-License-Identifier: Apache-2.0 */
/*
 * video: what an encoder does to each macroblock of 16 x 16 pixels: find where it was in the frame before, transform
 * what is left in blocks of 8 x 8 (DCT), quantise it, count the bits of its code, and decode it again, for that is
 * what the next frame is predicted from.
 *
 * The frames pan over a texture by a known vector, with noise. Right are: a match no worse than the known vector's,
 * and after decoding an error no larger than quantisation allows. The paper's frames: 320 x 240 for 30 s (small),
 * 1920 x 1080 for 70 s (large).
 */
#ifndef BENCHMARKS_CASE_VIDEO_H
#define BENCHMARKS_CASE_VIDEO_H

#include <math.h>

#include "case.h"

#define MACROBLOCK 16
#define REACH 3 /* how far a match is looked for, in pixels */
#define PAN_X 2
#define PAN_Y (-1)
#define TILE 256 /* the texture repeats */
#define QUANT 6
#define NOISE 15 /* peak to peak, in levels: a residual that quantisation does not swallow whole */
#define DCT_BITS 12

struct film {
	int columns, rows, stride; /* macroblocks across and down; bytes from line to line */
	uint8_t *frames[2];
};

static KEPT struct film films[2];
static KEPT int32_t dct_basis[8][8];
static KEPT uint8_t zigzag[64];

static void make_tables(void)
{
	int at = 0;

	for (int u = 0; u < 8; u++)
		for (int x = 0; x < 8; x++)
			dct_basis[u][x] = (int32_t)lround((u ? 0.5 : sqrt(0.125)) * (1 << DCT_BITS) *
							  cos((2 * x + 1) * u * M_PI / 16));
	for (int sum = 0; sum < 15; sum++)
		for (int i = sum < 8 ? 0 : sum - 7; i <= sum && i < 8; i++, at++)
			zigzag[at] = (uint8_t)(sum % 2 ? i * 8 + sum - i : (sum - i) * 8 + i);
}

/* Waves of several lengths, the phases drawn: smooth enough for a search to make sense, and no two places alike. */
static void make_texture(uint8_t *tile)
{
	int wave[4][TILE], down[4];

	for (int w = 0; w < 4; w++) {
		uint64_t drawn = seeded(seed, 5000 + (uint64_t)w);

		down[w] = 1 + (int)((drawn >> 8) % 7);
		for (int i = 0; i < TILE; i++)
			wave[w][i] = (int)(28 * sin(2 * M_PI * ((3 * w + 1) * i + (int)(drawn & 255)) / TILE));
	}
	for (int y = 0; y < TILE; y++)
		for (int x = 0; x < TILE; x++)
			tile[y * TILE + x] = (uint8_t)(124 + wave[0][(x + y * down[0]) % TILE] + wave[1][(x * 2 + y * down[1]) % TILE] +
						       wave[2][(x + y * down[2] * 3) % TILE] + wave[3][(y - x + TILE) % TILE] / 4);
}

static uint8_t *frame_line(const struct film *film, int frame, int line)
{
	return film->frames[frame] + (line + REACH) * film->stride + REACH;
}

/*
 * Pixel (x, y) of frame 1 is pixel (x + PAN_X, y + PAN_Y) of frame 0 but for the noise; a border saves the search
 * its edges.
 */
static void draw_frame(const struct film *film, int frame, const uint8_t *tile, const uint8_t *noise)
{
	int lines = film->rows * MACROBLOCK + 2 * REACH;

	for (int y = 0; y < lines; y++) {
		uint8_t *line = film->frames[frame] + y * film->stride;
		const uint8_t *from = tile + (y + 4 + frame * PAN_Y) % TILE * TILE, *grain = noise + (y * 131 + frame * 77) % TILE;

		for (int x = 0, at = frame * PAN_X; x < film->stride; at = 0) {
			int part = TILE - at < film->stride - x ? TILE - at : film->stride - x;

			for (int i = 0; i < part; i++)
				line[x + i] = (uint8_t)(from[at + i] + grain[i]);
			x += part;
		}
	}
}

static void video_prepare(int large, uint64_t macroblocks)
{
	struct film *film = &films[large];
	uint8_t tile[TILE * TILE], noise[2 * TILE];

	(void)macroblocks;
	film->columns = large ? 120 : 20;
	film->rows = large ? 68 : 15;
	film->stride = film->columns * MACROBLOCK + 2 * REACH;
	make_tables();
	make_texture(tile);
	for (int i = 0; i < 2 * TILE; i++)
		noise[i] = (uint8_t)(seeded(seed, 6000 + (uint64_t)i) % (NOISE + 1));
	for (int frame = 0; frame < 2; frame++) {
		film->frames[frame] = input_memory((uint64_t)film->stride * (uint64_t)(film->rows * MACROBLOCK + 2 * REACH));
		draw_frame(film, frame, tile, noise);
	}
}

/* Sum of absolute differences, given up where it is no better than `best`. */
static int difference(const uint8_t *a, const uint8_t *b, int stride, int best)
{
	int sum = 0;

	for (int y = 0; y < MACROBLOCK && sum < best; y++, a += stride, b += stride)
		for (int x = 0; x < MACROBLOCK; x++)
			sum += abs(a[x] - b[x]);
	return sum;
}

/* Where in the frame before the macroblock fits best, as an offset in bytes; all of the square is tried. */
static int find_motion(const uint8_t *now, const uint8_t *before, int stride, int *best)
{
	int found = 0;

	*best = difference(now, before, stride, INT32_MAX);
	for (int y = -REACH; y <= REACH; y++)
		for (int x = -REACH; x <= REACH; x++) {
			int sum = difference(now, before + y * stride + x, stride, *best);

			if (sum < *best) {
				*best = sum;
				found = y * stride + x;
			}
		}
	return found;
}

/* One pass over the rows, with the result transposed, so that two passes are both dimensions. */
static void transform(const int32_t *in, int32_t *out, int inverse)
{
	for (int row = 0; row < 8; row++)
		for (int u = 0; u < 8; u++) {
			int32_t sum = 1 << (DCT_BITS - 1);

			for (int x = 0; x < 8; x++)
				sum += in[row * 8 + x] * (inverse ? dct_basis[x][u] : dct_basis[u][x]);
			out[u * 8 + row] = sum >> DCT_BITS;
		}
}

/* Bits of a run of zeros and the level after it, each in Elias' gamma code (IEEE Trans. Inf. Theory 21, 1975). */
static int code_bits(int run, int level)
{
	return 2 * (31 - __builtin_clz((unsigned int)run + 1)) + 2 * (31 - __builtin_clz((unsigned int)abs(level))) + 3;
}

/* Codes and decodes one block; returns the bits of its code, or -1 where the decoded block is too far off. */
static int code_block(const uint8_t *now, const uint8_t *predicted, int stride)
{
	int32_t left[64], pass[64], levels[64], error = 0;
	int bits = 0, run = 0;

	for (int i = 0; i < 64; i++)
		left[i] = now[i / 8 * stride + i % 8] - predicted[i / 8 * stride + i % 8];
	transform(left, pass, 0);
	transform(pass, levels, 0);
	for (int i = 0; i < 64; i++) {
		int32_t value = levels[zigzag[i]], level = (value + (value < 0 ? -QUANT / 2 : QUANT / 2)) / QUANT;

		levels[zigzag[i]] = level * QUANT;
		run = level ? 0 : run + 1;
		bits += level ? code_bits(run, level) : 0;
	}
	transform(levels, pass, 1);
	transform(pass, levels, 1);
	for (int i = 0; i < 64; i++)
		error += (levels[i] - left[i]) * (levels[i] - left[i]);
	/* An orthonormal transform keeps squares (Parseval): each of 64 is off by half a step, and by a rounding or two. */
	return error <= 64 * (QUANT / 2 + 1) * (QUANT / 2 + 1) ? bits : -1;
}

static int video_run(const struct job *job)
{
	const struct film *film = &films[job->large];
	uint64_t bits = 0, each = (uint64_t)(film->columns * film->rows);

	for (uint64_t i = 0; i < job->size; i++) {
		/* There and back: every frame is one of two, and the one before it the other. */
		int frame = (int)(i / each % 2), row = (int)(i % each) / film->columns, column = (int)(i % each) % film->columns;
		const uint8_t *now = frame_line(film, frame, row * MACROBLOCK) + column * MACROBLOCK;
		const uint8_t *before = frame_line(film, !frame, row * MACROBLOCK) + column * MACROBLOCK;
		int known = (frame ? 1 : -1) * (PAN_Y * film->stride + PAN_X), best;
		const uint8_t *match = before + find_motion(now, before, film->stride, &best);

		if (best > difference(now, before + known, film->stride, INT32_MAX))
			return 0;
		for (int block = 0; block < 4; block++) {
			int at = block / 2 * 8 * film->stride + block % 2 * 8, coded = code_block(now + at, match + at, film->stride);

			if (coded < 0)
				return 0;
			bits += (uint64_t)coded;
		}
	}
	return bits > 0;
}

static const struct batch_case video_case = {
	"video", "macroblocks", {"ffmpeg-small", "ffmpeg-large"}, 1, 1ULL << 40,
	video_prepare, NULL, video_run, NULL,
};

#endif
