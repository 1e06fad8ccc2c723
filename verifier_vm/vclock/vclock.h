/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual time for a TCG guest: what the parts share. README.md says how it works.
 *
 * Two threads matter, and exactly one of them acts at a time, the one that holds the baton: QEMU's vCPU thread (which
 * executes all vCPUs in turn, `thread=single`) and its main thread (timers and devices). Hence no locks below.
 */
#ifndef VCLOCK_H
#define VCLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "machine.h"

#define MAX_VCPUS 64
#define NEVER UINT64_MAX
#define PS_PER_NS 1000ull

/* A page shared with the process that started QEMU (verifier_vm/machine/clock.py reads it). */
struct stats {
	uint64_t magic;		/* STATS_MAGIC once the clock runs */
	uint64_t fallbacks;	/* waits that were given up: the run is not deterministic and no score */
	uint64_t virtual_ns;	/* since QEMU started */
	uint64_t hash;		/* of every slot: which vCPU, from which virtual time on */
	uint64_t slots;		/* vCPU slots begun */
	uint64_t switches;	/* context switches in the guest's kernel, and a hash of their virtual times */
	uint64_t switch_hash;
	uint64_t moves;		/* host CPU changes */
	uint64_t awaits_host;	/* 1 while the guest is idle within a wait for the host: nothing in it happens until that comes */
	char error[128];	/* why the clock could not be installed, or its run counts for nothing */
	struct paid paid;	/* by the machine that it was given */
};
#define STATS_MAGIC 0x31636b6c63765343ull

struct settings {
	uint64_t user_ps, kernel_ps; /* one instruction */
	uint64_t pause_ps;	/* one PAUSE */
	uint64_t switch_address; /* of the guest kernel's context switch, or 0 */
	uint64_t quantum_ps;	/* how far one vCPU may run ahead of another */
	int stats_fd;
	int blocks_fd;		/* where executed.c writes, or -1 */
	int machine_fd;		/* what scheduling costs, or -1 */
};

extern struct settings settings;
extern struct stats *stats;

/* clock.c: the time of each vCPU, and which may run */
void clock_install(uint64_t plugin_id);
struct qemu_plugin_tb;
void clock_charge(struct qemu_plugin_tb *tb, uint64_t ps);	/* each time that the block begins; while it is translated */
void clock_freeze(unsigned int unused, void *on);		/* the blocks that begin and end a wait for the host call it */
uint64_t clock_local_ps(void);		/* the time of the current vCPU */
uint64_t clock_book(void);		/* the same, after those who model the machine were handed what the slot used so far */
uint64_t clock_vcpu_now_ps(void);	/* of the vCPU being executed; never less than any earlier answer */
uint64_t clock_main_now_ps(void);
void clock_idle(void);			/* every vCPU has halted */
void clock_main_due(uint64_t ps);	/* the main thread wants the baton at that time */
void clock_jump_to(uint64_t ps);	/* every vCPU is halted: nothing happens before that time */
bool clock_frozen(void);		/* the guest waits for the host: while it is idle, time stands still */
void clock_awaits_host(void);		/* every vCPU is halted, and the main thread waits for the outside world */
void clock_poke(void);			/* the vCPU being executed gave the main thread work */

void clock_refuse(const char *why);	/* the run counts for nothing */
void clock_yield(void);			/* the vCPU being executed may have sent an interrupt */
unsigned int clock_vcpu(void);		/* which vCPU is being executed, from 0 on in the order in which they were first seen */

void *clock_cpu(void);			/* QEMU's object for it */

/* switches.c: what happens when the guest's kernel goes on with another task */
#define FINGERPRINT_OF_NOTHING 0xcbf29ce484222325ull
uint64_t fingerprint(uint64_t hash, uint64_t ps);		/* the same after something happened then on the current vCPU */
void clock_switched(unsigned int unused, void *nothing);	/* the block that begins the guest's context switch calls it */
void clock_footprint(unsigned int unused, void *bytes);		/* … and those in which a program tells its working set */

/* blocks.c: what instructions are charged */
void blocks_install(uint64_t plugin_id);

/* executed.c: which code of BPF programs ran; nothing where nobody asked. verifier_vm/machine/executed.py reads the blocks. */
enum { RAN = 1, JUMPED = 2, WENT_ON = 4 };	/* the jump at the block's end was taken, was not */
struct block {
	uint64_t start;
	uint64_t target;	/* of the conditional jump at its end, 0 where it ends otherwise */
	uint32_t size;
	uint32_t crc;
	uint32_t seen;
	uint32_t unused;
};

bool executed_open(int fd);
void executed_translated(struct qemu_plugin_tb *tb);	/* to be called after clock_charge() was called for it */
void executed_switched(void);				/* the vCPU being executed goes on with another task */

/* registers.c: of the vCPU being executed, where a block's callback asks for them */
void registers_find(void);
uint64_t registers_rsi(void);		/* the task that comes, where __switch_to_asm begins */

/* baton.c: which thread acts */
enum thread_role { OTHER_THREAD, MAIN_THREAD, VCPU_THREAD };
extern _Thread_local enum thread_role role;
void baton_to_main(void);		/* the vCPU thread's call: returns when the main thread has done what was due */
bool baton_taken(void);			/* the main thread acts although the vCPU thread did not hand over */

/* interpose.c */
extern bool interposing;
/* Do the program's calls come here? */
bool is_preloaded(void);
int real_ppoll(void *fds, unsigned long n, const struct timespec *timeout, const void *mask);

/* placement.c: all threads on one host CPU, moved when it is busy */
void placement_start(void);
void placement_look(void);

#endif
