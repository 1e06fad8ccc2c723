// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which code of BPF programs was executed: each block that QEMU translates in the area where the kernel puts what its JIT
 * makes, whether it ran, and which way the conditional jump at its end went. The guest pays nothing for it: no instruction
 * of its own, no charge.
 *
 * A block is told by its address, its length and a check sum of its bytes, so that a program which later lies where another
 * lay does not count for it. Only exceptions leave a block in its middle, and the code then goes on in another block.
 */
#define _GNU_SOURCE 1
#include <stddef.h>
#include <sys/mman.h>

#include "qemu_api.h"
#include "vclock.h"

#define JIT_AREA 0xffffffffc0000000ull	/* of modules and BPF programs, on x86 without KASLR */
#define MAX_BLOCKS 65535
#define SLOTS (4 * (MAX_BLOCKS + 1))
#define MAX_CODE 16384

static struct {
	uint64_t count, dropped;
	struct block blocks[MAX_BLOCKS];
} *table;

static uint32_t slots[SLOTS];	/* of a hash table: the block's number and one; 0 is free */
static const struct block *before[MAX_VCPUS + 1];	/* the block of this area that a vCPU executed last */

bool executed_open(int fd)
{
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		table = NULL;
	return table != NULL;
}

/* CRC-32 as zlib has it. */
static uint32_t crc_of(const unsigned char *data, size_t size)
{
	uint32_t crc = ~0u;

	while (size--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

/* Where the last instruction jumps to if its condition holds; 0 for any other instruction. */
static uint64_t jump_target(const unsigned char *last, size_t size, uint64_t end)
{
	if (size == 2 && (last[0] & 0xf0) == 0x70)
		return end + (uint64_t)(int64_t)(int8_t)last[1];
	if (size == 6 && last[0] == 0x0f && (last[1] & 0xf0) == 0x80)
		return end + (uint64_t)(int64_t)(int32_t)(last[2] | last[3] << 8 | last[4] << 16 | (uint32_t)last[5] << 24);
	return 0;
}

static struct block *block_of(uint64_t start, uint32_t size, uint32_t crc)
{
	uint32_t slot = (uint32_t)(start * 31 + size) ^ crc;
	struct block *b;

	for (slot %= SLOTS; slots[slot]; slot = (slot + 1) % SLOTS) {
		b = &table->blocks[slots[slot] - 1];
		if (b->start == start && b->size == size && b->crc == crc)
			return b;
	}
	if (table->count == MAX_BLOCKS) {
		table->dropped++;
		return NULL;
	}
	b = &table->blocks[table->count++];
	slots[slot] = (uint32_t)table->count;
	b->start = start;
	b->size = size;
	b->crc = crc;
	return b;
}

/* A jump's way is the next block of that vCPU: what an interrupt executes in between ends otherwise, and tells no way. */
static void executed(unsigned int unused, void *data)
{
	struct block *b = data, **last = (struct block **)&before[clock_vcpu()];

	(void)unused;
	b->seen |= RAN;
	if (*last && (*last)->target)
		(*last)->seen |= ((*last)->target == b->start ? JUMPED : 0) |
				 ((*last)->start + (*last)->size == b->start ? WENT_ON : 0);
	*last = b;
}

void executed_switched(void)
{
	before[clock_vcpu()] = NULL;
}

void executed_translated(struct qemu_plugin_tb *tb)
{
	static unsigned char code[MAX_CODE];
	uint64_t start = qemu.tb_vaddr(tb);
	size_t size = 0, last = 0, n = qemu.tb_n_insns(tb);
	struct block *b;

	if (!table || start < JIT_AREA)
		return;
	for (size_t i = 0; i < n && size + 16 <= sizeof(code); i++) {
		last = size;
		size += qemu.insn_data(qemu.tb_get_insn(tb, i), code + size, sizeof(code) - size);
	}
	b = block_of(start, (uint32_t)size, crc_of(code, size));
	if (!b)
		return;
	b->target = jump_target(code + last, size - last, start + size);
	qemu.tb_call(tb, executed, PLUGIN_CB_NO_REGS, b);
}
