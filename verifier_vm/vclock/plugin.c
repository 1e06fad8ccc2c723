// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where QEMU loads the clock: `-plugin vclock.so,insn_ps=N,pause_ps=N,quantum_ns=N,switch=ADDRESS,stats=FD,blocks=FD,machine=FD`,
 * with the same file preloaded.
 * Whatever is missing is told in the shared page, and QEMU ends: half a virtual clock would be worse than none.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qemu_api.h"
#include "vclock.h"

QEMU_EXPORT int qemu_plugin_version = PLUGIN_API;

struct qemu_api qemu;
struct settings settings = { .user_ps = 1000, .kernel_ps = 1000, .pause_ps = 1000000, .quantum_ps = 20000 * PS_PER_NS, 
			     .stats_fd = -1, .blocks_fd = -1, .machine_fd = -1 };
struct stats *stats;

static void (*on_translation)(struct qemu_plugin_tb *tb);
static void (*on_vcpu)(unsigned int vcpu);

/* QEMU reads qemu_plugin_version before it calls anything here; preloaded, this runs before QEMU does. */
__attribute__((constructor)) static void choose_version(void)
{
	if (dlsym(RTLD_DEFAULT, "qemu_plugin_set_pc"))	/* since the version that hands out data */
		qemu_plugin_version = PLUGIN_API_DATA;
}

static void translation_by_id(uint64_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	on_translation(tb);
}

static void translation_with_data(struct qemu_plugin_tb *tb, void *data)
{
	(void)data;
	on_translation(tb);
}

static void vcpu_by_id(uint64_t id, unsigned int vcpu)
{
	(void)id;
	on_vcpu(vcpu);
}

static void vcpu_with_data(unsigned int vcpu, void *data)
{
	(void)data;
	on_vcpu(vcpu);
}

void qemu_on_translation(uint64_t plugin_id, void (*fn)(struct qemu_plugin_tb *tb))
{
	bool data = qemu_plugin_version == PLUGIN_API_DATA;

	on_translation = fn;
	qemu.register_tb_trans(plugin_id, data ? (void *)translation_with_data : (void *)translation_by_id, NULL);
}

void qemu_on_vcpu(uint64_t plugin_id, void (*fn)(unsigned int vcpu))
{
	bool data = qemu_plugin_version == PLUGIN_API_DATA;

	on_vcpu = fn;
	qemu.register_vcpu_init(plugin_id, data ? (void *)vcpu_with_data : (void *)vcpu_by_id, NULL);
}

static void **find_current_cpu(void)
{
	return dlsym(RTLD_DEFAULT, "current_cpu");
}

const char *qemu_api_load(void)
{
	static const struct {
		const char *name;
		void *into;
	} wanted[] = {
		{ "qemu_plugin_register_vcpu_tb_trans_cb", &qemu.register_tb_trans },
		{ "qemu_plugin_register_vcpu_init_cb", &qemu.register_vcpu_init },
		{ "qemu_plugin_tb_n_insns", &qemu.tb_n_insns },
		{ "qemu_plugin_tb_vaddr", &qemu.tb_vaddr },
		{ "qemu_plugin_tb_get_insn", &qemu.tb_get_insn },
		{ "qemu_plugin_insn_data", &qemu.insn_data },
		{ "qemu_plugin_register_vcpu_tb_exec_cb", &qemu.tb_call },
		{ "qemu_plugin_scoreboard_new", &qemu.scoreboard_new },
		{ "qemu_plugin_register_vcpu_tb_exec_cond_cb", &qemu.tb_call_if },
		{ "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu", &qemu.tb_inline },
		{ "g_array_set_size", &qemu.set_size },
		{ "qemu_plugin_get_registers", &qemu.get_registers },
		{ "qemu_plugin_read_register", &qemu.read_register },
		{ "g_byte_array_new", &qemu.byte_array_new },
		{ "g_byte_array_set_size", &qemu.set_bytes },
		{ "cpu_memory_rw_debug", &qemu.read_memory },
		{ "cpu_exit", &qemu.cpu_exit },
		{ "cpu_loop_exit_restore", &qemu.leave_before },
		{ "qemu_get_cpu", &qemu.get_cpu },
		{ "cpu_get_clock", &qemu.virtual_clock_ns },
		{ "cpu_get_ticks", &qemu.get_ticks },
	};
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		void *found = dlsym(RTLD_DEFAULT, wanted[i].name);

		if (!found)
			return wanted[i].name;
		memcpy(wanted[i].into, &found, sizeof(found));
	}
	qemu.current_cpu = find_current_cpu;
	return find_current_cpu() ? NULL : "current_cpu";
}

static int64_t guest_ticks(void)
{
	return qemu.virtual_clock_ns();	/* a TSC of 1 GHz that agrees with every timer */
}

/*
 * QEMU reads the host's TSC inline for a guest's RDTSC, so its function is given a jump to ours. (A trap through
 * PR_SET_TSC costs 3 us on the machine tried, and a context switch in the guest reads the TSC some ten times.)
 */
static bool replace_ticks(void)
{
	unsigned char jump[12] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 };	/* mov $fn,%rax; jmp *%rax */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int64_t (*fn)(void) = guest_ticks;
	char *at = qemu.get_ticks, *from = at - (uintptr_t)at % page;
	size_t len = (size_t)(at + sizeof(jump) - from);

	memcpy(jump + 2, &fn, sizeof(fn));
	if (mprotect(from, len, PROT_READ | PROT_WRITE | PROT_EXEC))
		return false;
	memcpy(at, jump, sizeof(jump));
	return !mprotect(from, len, PROT_READ | PROT_EXEC);
}

static bool take_option(char *option)
{
	char *value = strchr(option, '='), *end;
	unsigned long long number;

	if (!value)
		return false;
	*value++ = '\0';
	number = strtoull(value, &end, 10);
	if (!*value || *end)
		return false;
	if (!strcmp(option, "insn_ps") && number)
		settings.user_ps = settings.kernel_ps = number;
	else if (!strcmp(option, "pause_ps"))
		settings.pause_ps = number;
	else if (!strcmp(option, "quantum_ns") && number)
		settings.quantum_ps = number * PS_PER_NS;
	else if (!strcmp(option, "switch"))
		settings.switch_address = number;
	else if (!strcmp(option, "stats"))
		settings.stats_fd = (int)number;
	else if (!strcmp(option, "blocks"))
		settings.blocks_fd = (int)number;
	else if (!strcmp(option, "machine"))
		settings.machine_fd = (int)number;
	else
		return false;
	return true;
}

void clock_refuse(const char *why)
{
	stats->magic = 0;
	snprintf(stats->error, sizeof(stats->error), "%s", why);
}

static int refuse(const char *what, const char *detail)
{
	fprintf(stderr, "vclock: %s%s\n", what, detail);
	snprintf(stats->error, sizeof(stats->error), "%s%s", what, detail);
	return -1;
}

QEMU_EXPORT int qemu_plugin_install(uint64_t id, const struct plugin_info *info, int argc, char **argv)
{
	static struct stats own;
	const char *missing;
	int i;

	stats = &own;
	for (i = 0; i < argc; i++)
		if (!take_option(argv[i]))
			return refuse("unknown option ", argv[i]);
	if (settings.stats_fd >= 0) {
		stats = mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE, MAP_SHARED, settings.stats_fd, 0);
		if (stats == MAP_FAILED) {
			stats = &own;
			return refuse("cannot map the page for its figures: ", strerror(errno));
		}
	}
	if (settings.blocks_fd >= 0 && !executed_open(settings.blocks_fd))
		return refuse("cannot map the table of executed blocks: ", strerror(errno));
	if (settings.machine_fd >= 0) {
		if (!machine_open(settings.machine_fd))
			return refuse("cannot map the machine that it is given", "");
		settings.user_ps = machine->user_ps;
		settings.kernel_ps = machine->kernel_ps;
	}
	missing = qemu_api_load();
	if (missing)
		return refuse("this QEMU does not export ", missing);
	if (!is_preloaded())
		return refuse("not preloaded", "");
	if (!info->system_emulation || info->system.max_vcpus > MAX_VCPUS)
		return refuse("more vCPUs than it can count", "");
	if (!replace_ticks())
		return refuse("cannot replace cpu_get_ticks: ", strerror(errno));
	stats->magic = STATS_MAGIC;
	clock_install(id);
	blocks_install(id);
	placement_start();
	role = MAIN_THREAD;
	interposing = true;
	return 0;
}
