/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-1 and SHA-256 (FIPS 180-4), plainly: for work that is checked, not for secrets. No library, because those pick
 * the processor's own instructions at run time, and the work would not be the same from one host to the next.
 */
#ifndef BENCHMARKS_SHA_H
#define BENCHMARKS_SHA_H

#include <stdint.h>
#include <string.h>

struct sha {
	void (*block)(uint32_t *state, const uint8_t *bytes);
	uint32_t state[8];
	uint64_t length;
	uint8_t pending[64];
};

static inline uint32_t rotate_left(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

static inline uint32_t big_endian32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void sha1_block(uint32_t *state, const uint8_t *bytes)
{
	static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

	for (int i = 0; i < 16; i++)
		w[i] = big_endian32(bytes + 4 * i);
	for (int i = 16; i < 80; i++)
		w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
		uint32_t next = rotate_left(a, 5) + f + e + constants[i / 20] + w[i];

		e = d;
		d = c;
		c = rotate_left(b, 30);
		b = a;
		a = next;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

static const uint32_t sha256_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(uint32_t *state, const uint8_t *bytes)
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 16; i++)
		w[i] = big_endian32(bytes + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + (rotate_left(x, 25) ^ rotate_left(x, 14) ^ x >> 3) + w[i - 7] +
		       (rotate_left(y, 15) ^ rotate_left(y, 13) ^ y >> 10);
	}
	memcpy(s, state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t one = rotate_left(s[4], 26) ^ rotate_left(s[4], 21) ^ rotate_left(s[4], 7);
		uint32_t first = s[7] + one + ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha256_constants[i] + w[i];
		uint32_t zero = rotate_left(s[0], 30) ^ rotate_left(s[0], 19) ^ rotate_left(s[0], 10);
		uint32_t second = zero + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += first;
		s[0] = first + second;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

static struct sha sha1(void)
{
	return (struct sha){sha1_block, {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, 0, {0}};
}

static struct sha sha256(void)
{
	return (struct sha){sha256_block,
			    {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
			    0,
			    {0}};
}

static void sha_add(struct sha *sha, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size) {
		size_t held = sha->length % 64, part = size < 64 - held ? size : 64 - held;

		if (part == 64) {
			sha->block(sha->state, bytes);
		} else {
			memcpy(sha->pending + held, bytes, part);
			if (held + part == 64)
				sha->block(sha->state, sha->pending);
		}
		sha->length += part;
		bytes += part;
		size -= part;
	}
}

/* The digest as words, 5 or 8 of them; `sha` is used up. */
static const uint32_t *sha_end(struct sha *sha)
{
	uint64_t bits = sha->length * 8;
	uint8_t size[8];

	for (int i = 0; i < 8; i++)
		size[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha_add(sha, "\x80", 1);
	while (sha->length % 64 != 56)
		sha_add(sha, "", 1);
	sha_add(sha, size, sizeof(size));
	return sha->state;
}

/* Does "abc" have the digest that FIPS 180-4's examples give? Two equal but wrong sums would not tell. */
static int sha_is_right(struct sha sha, const uint32_t *abc, size_t words)
{
	sha_add(&sha, "abc", 3);
	return !memcmp(sha_end(&sha), abc, words * sizeof(*abc));
}

#endif
