// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the guest's instructions are charged: summed up once when QEMU translates a block, and charged as a whole when
 * the block begins.
 */
#include <stddef.h>
#include <string.h>

#include "qemu_api.h"
#include "vclock.h"

/* What guest programs tell the clock; init.c, stress.c and work.h have their side. */
enum { FREEZE, THAW, FIRST_BURST };
#define BURST_UNIT_PS (100 * PS_PER_NS)

/* NNNN of the no-op that no compiler emits, nopl 0x5cedNNNN(%rax); -1 for any other instruction. */
static int told(const unsigned char *code, size_t size)
{
	static const unsigned char nopl[] = { 0x0f, 0x1f, 0x80 };

	if (size != 7 || memcmp(code, nopl, sizeof(nopl)) || code[5] != 0xed || code[6] != 0x5c)
		return -1;
	return code[3] | code[4] << 8;
}

static uint64_t charge(const unsigned char *code, size_t size)
{
	int burst = told(code, size);

	if (burst >= FIRST_BURST)
		return (uint64_t)burst * BURST_UNIT_PS;
	if (size == 2 && code[0] == 0xf3 && code[1] == 0x90)	/* PAUSE */
		return settings.pause_ps;
	if (size == 1 && code[0] == 0xf4)			/* HLT */
		return settings.insn_ps + CHARGE_HALT;
	return settings.insn_ps;
}

static void translated(struct qemu_plugin_tb *tb)
{
	uint64_t sum = 0;
	size_t i, n = qemu.tb_n_insns(tb);

	for (i = 0; i < n; i++) {
		unsigned char code[16];
		size_t size = qemu.insn_data(qemu.tb_get_insn(tb, i), code, sizeof(code));
		int word = told(code, size);

		sum += charge(code, size);
		if (word == FREEZE || word == THAW)
			qemu.tb_call(tb, clock_freeze, PLUGIN_CB_NO_REGS, (void *)(uintptr_t)(word == FREEZE));
	}
	clock_charge(tb, sum);
	if (settings.switch_address && qemu.tb_vaddr(tb) == settings.switch_address)
		qemu.tb_call(tb, clock_switched, PLUGIN_CB_NO_REGS, NULL);
	executed_translated(tb);
}

void blocks_install(uint64_t plugin_id)
{
	qemu_on_translation(plugin_id, translated);
}
