// SPDX-License-Identifier: GPL-2.0-or-later
/* The one register of the guest that the clock reads, by QEMU's plugin interface. */
#include <stddef.h>
#include <string.h>

#include "qemu_api.h"
#include "vclock.h"

static void *rsi;		/* QEMU's handle: the same for every vCPU, all of one kind */
static struct array *bytes;	/* a GByteArray, laid out as a GArray is */

void registers_find(void)
{
	const struct array *found = qemu.get_registers();
	const struct plugin_register *of = (const void *)found->data;
	unsigned int i;

	for (i = 0; i < found->length; i++)
		if (!strcmp(of[i].name, "rsi"))
			rsi = of[i].handle;
	bytes = qemu.byte_array_new();
	if (!rsi)
		clock_refuse("this QEMU does not show the register rsi");
}

uint64_t registers_rsi(void)
{
	uint64_t value = 0;

	qemu.set_bytes(bytes, 0);
	if (rsi && qemu.read_register(rsi, bytes) == sizeof(value))
		memcpy(&value, bytes->data, sizeof(value));
	return value;
}
