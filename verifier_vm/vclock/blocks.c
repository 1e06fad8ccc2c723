// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the guest's instructions are charged: summed up once when QEMU translates a block, and charged as a whole when
 * the block begins.
 */
#include <stddef.h>
#include <string.h>

#include "qemu_api.h"
#include "slot.h"
#include "vclock.h"

/* What guest programs tell the clock; init.c, stress.c and work.h have their side. */
enum { FREEZE, THAW, FIRST_BURST };
#define BURST_UNIT_PS (100 * PS_PER_NS)

/* The low byte of KK in the no-op that no compiler emits, nopl 0x5cKKNNNN(%rax). */
enum { BURST = 0xed, FOOTPRINT = 0xee };
#define FOOTPRINT_UNIT 4096

/* NNNN of it; -1 for any other instruction. */
static int told(const unsigned char *code, size_t size, int kind)
{
	static const unsigned char nopl[] = { 0x0f, 0x1f, 0x80 };

	if (size != 7 || memcmp(code, nopl, sizeof(nopl)) || code[5] != kind || code[6] != 0x5c)
		return -1;
	return code[3] | code[4] << 8;
}

static uint64_t charge(const unsigned char *code, size_t size, uint64_t insn_ps)
{
	int burst = told(code, size, BURST);

	if (burst >= FIRST_BURST)
		return (uint64_t)burst * BURST_UNIT_PS;
	if (size == 2 && code[0] == 0xf3 && code[1] == 0x90)	/* PAUSE */
		return settings.pause_ps;
	if (size == 1 && code[0] == 0xf4)			/* HLT */
		return insn_ps + HALTED;
	return insn_ps;
}

static void translated(struct qemu_plugin_tb *tb)
{
	bool kernel = qemu.tb_vaddr(tb) >> 63;
	uint64_t sum = 0, insn_ps = kernel ? settings.kernel_ps : settings.user_ps;
	size_t i, n = qemu.tb_n_insns(tb);

	for (i = 0; i < n; i++) {
		unsigned char code[16];
		size_t size = qemu.insn_data(qemu.tb_get_insn(tb, i), code, sizeof(code));
		int word = told(code, size, BURST), pages = told(code, size, FOOTPRINT);

		sum += charge(code, size, insn_ps);
		if (word == FREEZE || word == THAW)
			qemu.tb_call(tb, clock_freeze, PLUGIN_CB_NO_REGS, (void *)(uintptr_t)(word == FREEZE));
		if (pages >= 0)
			qemu.tb_call(tb, clock_footprint, PLUGIN_CB_NO_REGS, (void *)((uintptr_t)pages * FOOTPRINT_UNIT));
	}
	clock_charge(tb, sum);
	if (settings.switch_address && qemu.tb_vaddr(tb) == settings.switch_address)
		qemu.tb_call(tb, clock_switched, machine ? PLUGIN_CB_R_REGS : PLUGIN_CB_NO_REGS, NULL);
	executed_translated(tb);
}

void blocks_install(uint64_t plugin_id)
{
	qemu_on_translation(plugin_id, translated);
}
