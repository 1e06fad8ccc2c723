/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's slot: the time that it may use, and what has happened in it. One number counts both: picoseconds in its low
 * bits, set so that the slot is used up when they reach SLOT_LIMIT; above them what else happened, any of which makes it
 * reach that, too, and so the next block ask. QEMU takes its big lock between two vCPUs, so that going on to another one
 * happens as well.
 */
#ifndef VCLOCK_SLOT_H
#define VCLOCK_SLOT_H

#include <stdint.h>

#define SLOT_LIMIT (1ull << 48)
#define YIELDED (1ull << 50)	/* may have sent an interrupt: its receiver must get a look before the sender goes on */
#define HALTED (1ull << 52)	/* charged beside the time of a block that halts its vCPU */
#define POKED (1ull << 54)

struct qemu_plugin_tb;

void slot_make(void);
void slot_check(void);				/* whether all blocks have added to one number */
void slot_charge(struct qemu_plugin_tb *tb, uint64_t ps, void (*asks)(unsigned int, void *));	/* while it is translated */
void slot_open(uint64_t ps);
void slot_close(void);				/* the next block asks */
void slot_stretch(uint64_t stretch);		/* of the time that blocks are charged, in 1/UNSTRETCHED (speed.c) */
uint64_t slot_used_ps(void);			/* stretched */
void slot_pay(uint64_t ps);			/* not stretched */
uint64_t slot_happened(void);
void slot_note(uint64_t happened);
unsigned int qemu_index(const void *cpu);	/* QEMU's number of a vCPU */

#endif
