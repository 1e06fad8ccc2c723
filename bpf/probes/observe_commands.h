/* SPDX-License-Identifier: GPL-2.0-only */
/* The program's table of commands: adding counts up, and printing them as JSON. */
#ifndef OBSERVE_COMMANDS_H
#define OBSERVE_COMMANDS_H

#include <stdio.h>
#include <string.h>

#include "observe.h"

#define MAX_COMMANDS 4096

static struct command {
	struct observe_comm comm;
	struct observe_counts counts;
} commands[MAX_COMMANDS];
static int nr_commands;

static struct command *command_of(const struct observe_comm *comm)
{
	int i;

	for (i = 0; i < nr_commands; i++)
		if (!memcmp(&commands[i].comm, comm, sizeof(*comm)))
			return &commands[i];
	if (nr_commands == MAX_COMMANDS)
		return NULL;
	commands[nr_commands].comm = *comm;
	return &commands[nr_commands++];
}

static void add(const struct observe_comm *comm, const struct observe_counts *counts)
{
	struct command *command = command_of(comm);
	struct observe_counts *sum;
	int i;

	if (!command)
		return;
	sum = &command->counts;
	sum->tasks += counts->tasks;
	sum->cpu_ns += counts->cpu_ns;
	sum->wait_ns += counts->wait_ns;
	sum->sleep_ns += counts->sleep_ns;
	sum->wakeups += counts->wakeups;
	sum->switches += counts->switches;
	if (counts->cpu_ns_max_task > sum->cpu_ns_max_task)
		sum->cpu_ns_max_task = counts->cpu_ns_max_task;
	for (i = 0; i < OBSERVE_BUCKETS; i++) {
		sum->burst_log2_us[i] += counts->burst_log2_us[i];
		sum->wait_log2_us[i] += counts->wait_log2_us[i];
	}
}

/* A byte that is no ASCII as the character of its number: init would make a question mark of it (text_json). */
static void print_string(const char *s, size_t limit)
{
	putchar('"');
	for (; limit && *s; s++, limit--) {
		unsigned char c = *s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_buckets(const char *name, const unsigned long long *buckets)
{
	int i, used = OBSERVE_BUCKETS;

	while (used && !buckets[used - 1])
		used--;
	printf(",\"%s\":[", name);
	for (i = 0; i < used; i++)
		printf("%s%llu", i ? "," : "", buckets[i]);
	putchar(']');
}

static void print_command(const struct command *command)
{
	const struct observe_counts *c = &command->counts;

	printf("{\"comm\":");
	print_string(command->comm.name, OBSERVE_COMM_LEN);
	printf(",\"tasks\":%llu,\"cpu_ns\":%llu,\"cpu_ns_max_task\":%llu,\"wait_ns\":%llu,\"sleep_ns\":%llu,\"wakeups\":%llu,"
	       "\"switches\":%llu", c->tasks, c->cpu_ns, c->cpu_ns_max_task, c->wait_ns, c->sleep_ns, c->wakeups, c->switches);
	print_buckets("burst_log2_us", c->burst_log2_us);
	print_buckets("wait_log2_us", c->wait_log2_us);
	putchar('}');
}

#endif
