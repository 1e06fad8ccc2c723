/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine that the guest's CPUs are taken for: what scheduling costs there. Nothing of it costs anything where the
 * clock was given no machine, and then time is instructions alone.
 */
#ifndef VCLOCK_MACHINE_H
#define VCLOCK_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_VERSION 1
#define MAX_CPUS 64
#define MAX_IDLE 16
#define WHOLE 1024u		/* speeds are in 1024ths */

/* In this order in the file that is given by its number; verifier_vm/machine/model.py writes it. Off is 0, or WHOLE. */
struct machine {
	uint64_t version;
	uint64_t switch_ps;
	uint64_t l2_bytes, llc_bytes;
	uint64_t llc_mbps, memory_mbps, remote_mbps;	/* a megabyte a second is a byte a microsecond */
	uint64_t node_mbps;
	uint64_t user_bytes, kernel_bytes;		/* working sets of those that say nothing */
	uint64_t tgid_at, mm_at;			/* in the kernel's task_struct */
	uint32_t user_ps, kernel_ps;			/* an instruction */
	uint32_t smt, beyond_llc;
	uint32_t idle_states, turbo_steps;
	struct {
		uint64_t after_ps, exit_ps;
	} idle[MAX_IDLE];
	uint32_t turbo[MAX_CPUS];			/* with 1, 2, … busy cores in the node */
	uint32_t capacity[MAX_CPUS];
	uint8_t core[MAX_CPUS], llc[MAX_CPUS], node[MAX_CPUS];
};

/* What was paid for, in picoseconds of CPU time, and how those moved that came; part of the page of figures. */
struct paid {
	uint64_t busy_ps;
	uint64_t switch_ps, l2_ps, llc_ps, remote_ps, idle_ps;
	uint64_t smt_ps, turbo_ps, capacity_ps, memory_ps;
	uint64_t stayed, same_core, same_llc, same_node, other_node;
};

extern const struct machine *machine;		/* NULL: none was given */
extern struct paid paid;			/* so far; told when a slot begins, as all figures are */

bool machine_open(int fd);

/* speed.c: how fast a CPU is, by who else is busy. */
#define UNSTRETCHED (1u << 16)
void speed_busy(unsigned int cpu, bool busy);
uint64_t speed_stretch(unsigned int cpu);	/* time for each unit of work, in 1/UNSTRETCHED */
void speed_ran(unsigned int cpu, uint64_t ps);	/* so long, at the latest stretch */
uint64_t speed_idle_exit(uint64_t idle_ps);

/* caches.c: what the task that comes has lost. */
void caches_ran(unsigned int cpu, uint64_t ps);
uint64_t caches_switched(unsigned int cpu, uint64_t task);	/* ps that the task which comes onto `cpu` pays */
void caches_footprint(unsigned int cpu, uint64_t bytes);	/* of the process that runs there */
uint64_t caches_working_set(unsigned int cpu);			/* bytes */

#endif
