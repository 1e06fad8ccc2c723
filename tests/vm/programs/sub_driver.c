// SPDX-License-Identifier: Apache-2.0
/*
 * sub_driver ROOT CHILD: attaches a root policy, and a sub-scheduler on a cgroup with two busy tasks a CPU; has that stall, and
 * tells how the tasks got on in each second, and what the kernel has attached at the end.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP "/sys/fs/cgroup/canary"
#define MOST_TASKS 16

static const unsigned long long placeholder = 0x1122334455667788ULL;	/* see sub_child.bpf.c */
static volatile unsigned long *loops;

static struct bpf_map *section(struct bpf_object *obj, const char *name)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
		if (strstr(bpf_map__name(map), name))
			return map;
	return NULL;
}

static struct bpf_link *attach(struct bpf_object *obj, unsigned long long cgroup)
{
	struct bpf_map *ops = bpf_object__find_map_by_name(obj, "ops"), *constants = section(obj, ".rodata");
	size_t size;
	char *value = bpf_map__initial_value(ops, &size);

	for (size_t at = 0; value && at + sizeof(placeholder) <= size; at += sizeof(placeholder))
		if (!memcmp(value + at, &placeholder, sizeof(placeholder)))
			memcpy(value + at, &cgroup, sizeof(cgroup));
	if (constants)	/* the root's `cpus`, which is all that it has of them */
		*(unsigned *)bpf_map__initial_value(constants, &size) = sysconf(_SC_NPROCESSORS_CONF);
	return bpf_object__load(obj) ? NULL : bpf_map__attach_struct_ops(ops);
}

/* The child's counters, in the order of its source: told to stall, dispatched, its exit's kind. */
static void counters(struct bpf_object *obj, unsigned long long *values, bool stall)
{
	struct bpf_map *map = section(obj, ".bss");
	int zero = 0;

	bpf_map_lookup_elem(bpf_map__fd(map), &zero, values);
	if (stall) {
		values[0] = 1;
		bpf_map_update_elem(bpf_map__fd(map), &zero, values, 0);
	}
}

static void second(const char *what)
{
	unsigned long before = *loops;

	sleep(1);
	printf("{\"%s\":%lu}\n", what, *loops - before);
}

static void busy(int procs)
{
	for (int i = 0; i < 2 * sysconf(_SC_NPROCESSORS_CONF) && i < MOST_TASKS; i++) {
		char text[16];
		pid_t pid = fork();

		if (!pid)
			for (;;) {
				for (volatile int n = 0; n < 100000; n++)
					;
				__atomic_add_fetch(loops, 1, __ATOMIC_RELAXED);
			}
		snprintf(text, sizeof(text), "%d", pid);
		if (write(procs, text, strlen(text)) < 0)
			perror("cgroup.procs");
	}
}

int main(int argc, char **argv)
{
	struct bpf_object *root = argc > 2 ? bpf_object__open(argv[1]) : NULL, *child = argc > 2 ? bpf_object__open(argv[2]) : NULL;
	unsigned long long values[64] = {};
	struct bpf_link *above, *below;
	char state[16] = "";
	struct stat st;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGCHLD, SIG_IGN);
	loops = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!root || !child || (mkdir(GROUP, 0755) && errno != EEXIST) || stat(GROUP, &st))
		return 1;
	fd = open(GROUP "/cgroup.procs", O_WRONLY);
	busy(fd);
	above = attach(root, 0);
	below = above ? attach(child, st.st_ino) : NULL;
	printf("{\"root\":%d,\"child\":%d}\n", above != NULL, below != NULL);
	if (below) {
		second("before");
		counters(child, values, true);
		printf("{\"dispatched\":%llu}\n", values[1]);
		sleep(4);
		second("after");
		counters(child, values, false);
		printf("{\"exit_kind\":%llu}\n", values[2]);
	}
	fd = open("/sys/kernel/sched_ext/state", O_RDONLY);
	if (read(fd, state, sizeof(state) - 1) > 0)
		printf("{\"state\":\"%s\"}\n", strtok(state, "\n"));
	bpf_link__destroy(below);
	bpf_link__destroy(above);
	fd = open(GROUP "/cgroup.kill", O_WRONLY);
	return fd < 0 || write(fd, "1", 1) != 1;
}
