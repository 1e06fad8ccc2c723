// SPDX-License-Identifier: Apache-2.0
/*
 * loader OBJECT [VARIABLE=VALUE…] [ops.use=NAME] [ops.flag=FLAG,…] [ops.timeout_ms=N]: loads a sched_ext object, attaches
 * it, holds it until its input closes.
 *
 * Answers on stdout, one line each: "PHASE\tOPS" (open, load, attach: where it failed; attached), and after the input closed
 * "exit\tKIND\tCODE\tREASON\tMESSAGE" from the policy's own exit record. libbpf's and the verifier's words go to stderr, and
 * before them "has: NAME…": the callbacks that the policy has, its flags, and queues to a program beside it.
 */
#include "loader.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int answer(const char *phase, const char *ops)
{
	printf("%s\t%s\n", phase, ops);
	fflush(stdout);
	return strcmp(phase, "attached") ? 1 : 0;
}

/* The value of the word `ops.use`, which says whose words the others are; NULL if there is none. */
static const char *policy_wanted(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (!strncmp(argv[i], "ops.use=", 8))
			return argv[i] + 8;
	return NULL;
}

static bool configure(struct bpf_object *obj, const struct ops *ops, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		char *value = argv[i], *name = strsep(&value, "=");

		if (!value) {
			fprintf(stderr, "loader: '%s' is not NAME=VALUE\n", name);
			return false;
		}
		if (strncmp(name, "ops.", 4) ? !set_knob(obj, name, value) : !set_ops_word(obj, ops, name, value))
			return false;
	}
	return true;
}

/*
 * Programs beside the ops, as a skeleton's attach has it: on tracepoints and functions, where some policies learn of real-time
 * tasks and the like. Their links end with this process. What attaches to nothing by itself (SYSCALL) is left alone.
 */
static bool attach_others(struct bpf_object *obj)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, obj) {
		if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS || !bpf_program__autoload(program) ||
		    !bpf_program__autoattach(program) || bpf_program__attach(program) || errno == EOPNOTSUPP)
			continue;
		fprintf(stderr, "loader: cannot attach %s: %s\n", bpf_program__name(program), strerror(errno));
		return false;
	}
	return true;
}

static void wait_for_disabled(void)
{
	char state[16] = "";
	int tries;

	for (tries = 0; tries < 1000 && strncmp(state, "disabled", 8); tries++) {
		FILE *f = fopen("/sys/kernel/sched_ext/state", "re");

		if (!f || !fgets(state, sizeof(state), f))
			state[0] = '\0';
		if (f)
			fclose(f);
		usleep(2000);
	}
}

int main(int argc, char **argv)
{
	struct sched_param fifo = { .sched_priority = 50 };
	struct bpf_object *obj;
	struct ops ops;
	struct bpf_link *link;
	const char *name;
	char byte;

	/* A policy that starves everything must not starve its own removal. */
	sched_setscheduler(0, SCHED_FIFO, &fifo);
	obj = argc > 1 ? bpf_object__open_file(argv[1], NULL) : NULL;
	if (!obj)
		return answer("open", "");
	if (!find_ops(obj, policy_wanted(argc - 2, argv + 2), &ops))
		return answer("open", "");
	fill_as_loaders_do(obj, &ops);
	if (!configure(obj, &ops, argc - 2, argv + 2))
		return answer("open", "");
	tell_what_it_has(obj, &ops);
	name = ops_field(obj, &ops, "name");
	if (!name || !memchr(name, '\0', 128) || bpf_object__load(obj))
		return answer("load", "");
	name = ops_field(obj, &ops, "name");
	link = attach_others(obj) ? bpf_map__attach_struct_ops(ops.map) : NULL;
	if (!link) {
		fprintf(stderr, "loader: cannot attach: %s\n", strerror(errno));
		return answer("attach", name ? name : "");
	}
	answer("attached", name);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		if (byte == ASK_LAYOUT)
			tell_layout(obj);
	bpf_link__destroy(link);
	wait_for_disabled();
	tell_exit(obj);
	return 0;
}
