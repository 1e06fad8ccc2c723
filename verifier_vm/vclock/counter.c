// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The number to which translated code adds what its blocks are charged, without a call.
 *
 * QEMU's operation for that is meant for numbers of which each vCPU has its own. With `thread=single` it puts in the index
 * of the vCPU for which it *translates*, as a constant. With elements of one byte the number then lies at the offset plus
 * that index, and an offset that is less by it leads all blocks to one place. On both sides of that lies what must stay 0:
 * where a QEMU does it otherwise, something is added there, and the run counts for nothing.
 */
#include <stddef.h>

#include "qemu_api.h"
#include "vclock.h"

#define COUNTER_AT 4096		/* bytes into the scoreboard: beyond what QEMU clears when it enlarges one */
#define MARGIN MAX_VCPUS

static struct scoreboard *score;

unsigned int counter_index(const void *cpu)
{
	unsigned int index = 0;

	while (index < MAX_VCPUS && qemu.get_cpu((int)index) != cpu)
		index++;
	return index;
}

static uint64_t *counter(void)
{
	return (uint64_t *)(score->elements->data + COUNTER_AT);
}

uint64_t *counter_make(void)
{
	score = qemu.scoreboard_new(1);
	qemu.set_size(score->elements, 2 * COUNTER_AT);	/* QEMU never needs as much, so it stays where it is */
	return counter();
}

void counter_add(struct qemu_plugin_tb *tb, uint64_t ps, uint64_t limit, void (*at_limit)(unsigned int, void *))
{
	struct plugin_u64 number = { score, COUNTER_AT - counter_index(clock_cpu()) };

	qemu.tb_call_if(tb, at_limit, PLUGIN_CB_NO_REGS, PLUGIN_COND_GE, number, limit, NULL);
	qemu.tb_inline(tb, PLUGIN_ADD_U64, number, ps);
}

void counter_check(void)
{
	const unsigned char *before = (const unsigned char *)counter() - MARGIN, *after = (const unsigned char *)(counter() + 1);
	unsigned int i, strayed = 0;

	for (i = 0; i < MARGIN; i++)
		strayed |= before[i] | after[i];
	if (strayed)
		clock_refuse("this QEMU adds what blocks are charged in more than one place");
}
