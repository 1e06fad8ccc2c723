/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of QEMU that the clock touches: its plugin interface (docs/devel/tcg-plugins.rst, versions 3 of QEMU 9.1
 * to 10 and 7 of QEMU 11), which Debian ships without a header, and a few functions that QEMU exports to its modules. Looked up by name,
 * so a QEMU without one of them is refused with that name instead of failing to load.
 */
#ifndef VCLOCK_QEMU_API_H
#define VCLOCK_QEMU_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_EXPORT __attribute__((visibility("default")))
#define PLUGIN_API 3	  /* QEMU 9.1: per-vCPU inline operations, conditional callbacks, insn_data into a buffer */
#define PLUGIN_API_DATA 7 /* QEMU 11: callbacks that are registered once take a pointer of ours, and no plugin's id */
#define PLUGIN_CB_NO_REGS 0
#define PLUGIN_CB_R_REGS 1
#define PLUGIN_COND_GE 7  /* unsigned */
#define PLUGIN_ADD_U64 0

struct qemu_plugin_tb;
struct qemu_plugin_insn;

/* GLib's GArray, and QEMU's scoreboard, as far as we look into them. */
struct array {
	unsigned char *data;
	unsigned int length;
};
struct plugin_register {
	void *handle;
	const char *name, *feature;
};
struct scoreboard {
	struct array *elements;
};

/* The number that an operation in translated code reads or changes; handed over by value. */
struct plugin_u64 {
	struct scoreboard *score;
	size_t offset;
};

struct plugin_info {
	const char *target_name;
	struct {
		int min, cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus, max_vcpus;
	} system;
};

typedef void (*plugin_vcpu_fn)(unsigned int vcpu, void *data);

struct qemu_api {
	/* Version 3 has two parameters and calls fn(id, …), version 7 calls fn(…, data): see plugin.c. */
	void (*register_tb_trans)(uint64_t id, void *fn, void *data);
	void (*register_vcpu_init)(uint64_t id, void *fn, void *data);
	size_t (*tb_n_insns)(const struct qemu_plugin_tb *tb);
	uint64_t (*tb_vaddr)(const struct qemu_plugin_tb *tb);
	struct qemu_plugin_insn *(*tb_get_insn)(const struct qemu_plugin_tb *tb, size_t index);
	size_t (*insn_data)(const struct qemu_plugin_insn *insn, void *into, size_t size);
	void (*tb_call)(struct qemu_plugin_tb *tb, plugin_vcpu_fn fn, int flags, void *data);
	struct scoreboard *(*scoreboard_new)(size_t element);
	void (*tb_call_if)(struct qemu_plugin_tb *tb, plugin_vcpu_fn fn, int flags, int condition, struct plugin_u64 number,
			   uint64_t than, void *data);
	void (*tb_inline)(struct qemu_plugin_tb *tb, int operation, struct plugin_u64 number, uint64_t value);
	struct array *(*get_registers)(void);
	int (*read_register)(void *handle, struct array *into);
	/* Not of the plugin interface: */
	struct array *(*set_size)(struct array *array, unsigned int elements);	/* GLib's g_array_set_size */
	struct array *(*byte_array_new)(void);
	struct array *(*set_bytes)(struct array *array, unsigned int bytes);
	int (*read_memory)(void *cpu, uint64_t address, void *into, size_t size, bool write);	/* by the guest's page tables */
	void (*cpu_exit)(void *cpu);	     /* this vCPU leaves its loop when it gets there */
	void (*leave_before)(void *cpu, uintptr_t pc); /* to the loop, before the guest's instruction at the host's pc; no return */
	void *(*get_cpu)(int index);
	int64_t (*virtual_clock_ns)(void);   /* QEMU_CLOCK_VIRTUAL: carried over by snapshots */
	void **(*current_cpu)(void);	     /* where the calling thread keeps the vCPU that it executes */
	void *get_ticks;		     /* int64_t (void): what RDTSC in a guest returns; replaced by us */
};

extern struct qemu_api qemu;

void qemu_on_translation(uint64_t plugin_id, void (*fn)(struct qemu_plugin_tb *tb));
void qemu_on_vcpu(uint64_t plugin_id, void (*fn)(unsigned int vcpu));
const char *qemu_api_load(void); /* the name of the first function that this QEMU lacks, or NULL */

#endif
