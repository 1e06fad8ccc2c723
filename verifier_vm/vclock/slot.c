// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The slot's number, to which translated code adds what its blocks are charged, without a call.
 *
 * QEMU's operation for that is meant for numbers of which each vCPU has its own. With `thread=single` it puts in the index
 * of the vCPU for which it *translates*, as a constant. With elements of one byte the number then lies at the offset plus
 * that index, and an offset that is less by it leads all blocks to one place. On both sides of that lies what must stay 0:
 * where a QEMU does it otherwise, something is added there, and the run counts for nothing.
 */
#include <stddef.h>

#include "qemu_api.h"
#include "slot.h"
#include "vclock.h"

#define NUMBER_AT 4096		/* bytes into the scoreboard: beyond what QEMU clears when it enlarges one */
#define MARGIN MAX_VCPUS
#define PS_BITS (YIELDED - 1)

static struct scoreboard *score;
static uint64_t *number, began;
static uint64_t stretch = UNSTRETCHED;

unsigned int qemu_index(const void *cpu)
{
	unsigned int index = 0;

	while (index < MAX_VCPUS && qemu.get_cpu((int)index) != cpu)
		index++;
	return index;
}

void slot_make(void)
{
	score = qemu.scoreboard_new(1);
	qemu.set_size(score->elements, 2 * NUMBER_AT);	/* QEMU never needs as much, so it stays where it is */
	number = (uint64_t *)(score->elements->data + NUMBER_AT);
	slot_close();
}

void slot_check(void)
{
	const unsigned char *before = (const unsigned char *)number - MARGIN, *after = (const unsigned char *)(number + 1);
	unsigned int i, strayed = 0;

	for (i = 0; i < MARGIN; i++)
		strayed |= before[i] | after[i];
	if (strayed)
		clock_refuse("this QEMU adds what blocks are charged in more than one place");
}

void slot_charge(struct qemu_plugin_tb *tb, uint64_t ps, void (*asks)(unsigned int, void *))
{
	struct plugin_u64 at = { score, NUMBER_AT - qemu_index(clock_cpu()) };

	qemu.tb_call_if(tb, asks, PLUGIN_CB_NO_REGS, PLUGIN_COND_GE, at, SLOT_LIMIT, NULL);
	qemu.tb_inline(tb, PLUGIN_ADD_U64, at, ps);
}

void slot_stretch(uint64_t to)
{
	stretch = to;
}

static uint64_t unstretched(uint64_t ps)
{
	return stretch == UNSTRETCHED ? ps : (uint64_t)((unsigned __int128)ps * UNSTRETCHED / stretch) + 1;
}

void slot_open(uint64_t ps)
{
	*number = began = SLOT_LIMIT - unstretched(ps);
}

void slot_close(void)
{
	*number = began = SLOT_LIMIT;
}

uint64_t slot_used_ps(void)
{
	uint64_t used = (*number & PS_BITS) - began;

	return stretch == UNSTRETCHED ? used : (uint64_t)((unsigned __int128)used * stretch / UNSTRETCHED);
}

void slot_pay(uint64_t ps)
{
	*number += unstretched(ps);
}

uint64_t slot_happened(void)
{
	return *number & ~PS_BITS;
}

void slot_note(uint64_t happened)
{
	*number += happened;
}
