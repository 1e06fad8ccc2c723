// SPDX-License-Identifier: GPL-2.0-only
/*
 * observe PROGRAM ARG…: runs a program and prints, as the last line, one JSON object: what its tasks did to the
 * scheduler, by command name, their CPU time by each part of a job's key, and the program's own last line in "out". Ends
 * as the program ended, or with 125 when the probe fails. Needs root, BTF in the kernel, and the probe's object at
 * /lib/observe.bpf.o.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "observe.h"
#include "observe_commands.h"
#include "observe_jobs.h"

#define OBJECT "/lib/observe.bpf.o"
#define OWN_FAILURE 125
#define MAX_LINE (1 << 20)
#define MAX_LINKS 16

static struct bpf_link *links[MAX_LINKS];
static int nr_links;

static int fail(const char *what)
{
	fprintf(stderr, "observe: %s: %s\n", what, strerror(errno));
	return OWN_FAILURE;
}

static unsigned long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* The program's output, of which the last line that is not empty is kept. */
static struct {
	char line[MAX_LINE + 1], last[MAX_LINE + 1];
	size_t len;
} output;

static void take_output(const char *data, size_t size)
{
	for (; size; data++, size--) {
		if (*data != '\n') {
			if (output.len < MAX_LINE)
				output.line[output.len++] = *data;
			continue;
		}
		output.line[output.len] = '\0';
		if (output.len)
			strcpy(output.last, output.line);
		output.len = 0;
	}
}

static bool read_output(int fd)
{
	static char buf[65536];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0)
		take_output(buf, n);
	return n > 0;
}

/* Until the program itself ends: something it left behind may hold its output open for ever. */
static int wait_for_program(pid_t pid, int out)
{
	struct pollfd fds[] = { { .fd = out, .events = POLLIN }, { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN } };
	int status = 0;

	while (!(fds[1].revents & POLLIN) && (poll(fds, 2, -1) >= 0 || errno == EINTR))
		if (fds[0].revents && !read_output(out))
			fds[0].fd = -1;
	waitpid(pid, &status, 0);
	fcntl(out, F_SETFL, O_NONBLOCK);
	while (read_output(out))
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void add_task(struct observe_task *task)
{
	int part;

	task->counts.tasks = 1;
	task->counts.cpu_ns_max_task = task->counts.cpu_ns;
	add(&task->comm, &task->counts);
	for (part = 0; part < OBSERVE_KEYS; part++)
		add_job(part, task->parts[part], task->counts.cpu_ns);
}

static void collect_jobs(struct bpf_object *probe)
{
	int finished = bpf_object__find_map_fd_by_name(probe, "jobs");
	struct observe_key key, *previous = NULL;
	struct observe_jobs sum;

	for (; !bpf_map_get_next_key(finished, previous, &key); previous = &key)
		if (!bpf_map_lookup_elem(finished, &key, &sum))
			add_jobs(key.part, key.number, &sum);
}

/* Sums of the tasks that ended, and then those that live on. */
static void collect(struct bpf_object *probe)
{
	int finished = bpf_object__find_map_fd_by_name(probe, "commands");
	int alive = bpf_object__find_map_fd_by_name(probe, "tasks");
	struct observe_comm comm, *previous_comm = NULL;
	unsigned long long task_key, *previous_key = NULL;
	struct observe_counts counts;
	struct observe_task task;

	collect_jobs(probe);
	for (; !bpf_map_get_next_key(finished, previous_comm, &comm); previous_comm = &comm)
		if (!bpf_map_lookup_elem(finished, &comm, &counts))
			add(&comm, &counts);
	for (; !bpf_map_get_next_key(alive, previous_key, &task_key); previous_key = &task_key) {
		if (!bpf_map_lookup_elem(alive, &task_key, &task))
			add_task(&task);
	}
}

/* Number 0 of each part, while there is room: it takes those for which there is none. */
static bool make_rest(struct bpf_object *probe)
{
	static const struct observe_jobs none;
	int jobs = bpf_object__find_map_fd_by_name(probe, "jobs");
	struct observe_key key = { 0 };

	for (; key.part < OBSERVE_KEYS; key.part++)
		if (bpf_map_update_elem(jobs, &key, &none, BPF_ANY))
			return false;
	return true;
}

/* Loads and attaches the probe; NULL with a word of libbpf's on failure. */
static struct bpf_object *start_probe(void)
{
	struct bpf_object *probe = bpf_object__open_file(OBJECT, NULL);
	struct bpf_program *program;
	struct bpf_map *constants;
	size_t size;
	int *observer;

	constants = probe ? bpf_object__find_map_by_name(probe, ".rodata.observer") : NULL;
	observer = constants ? bpf_map__initial_value(constants, &size) : NULL;
	if (!observer)
		return NULL;
	*observer = getpid();
	if (bpf_object__load(probe) || !make_rest(probe))
		return NULL;
	bpf_object__for_each_program(program, probe) {
		links[nr_links] = bpf_program__attach(program);
		if (!links[nr_links++])
			return NULL;
	}
	return probe;
}

static void stop_probe(void)
{
	while (nr_links)
		bpf_link__destroy(links[--nr_links]);
}

static pid_t start_program(char **argv, int *out)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execvp(argv[0], argv);
		execv(argv[0], argv); /* a file of the job lies in the working directory */
		fprintf(stderr, "observe: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

static void report(unsigned long long wall_ns, int status)
{
	int i;

	printf("{\"wall_ns\":%llu,\"cpus\":%ld,\"exit\":%d,\"commands\":[", wall_ns, sysconf(_SC_NPROCESSORS_ONLN), status);
	for (i = 0; i < nr_commands; i++) {
		if (i)
			putchar(',');
		print_command(&commands[i]);
	}
	printf("],\"jobs\":[");
	print_jobs();
	printf("],\"out\":");
	output.line[output.len] = '\0';
	print_string(output.len ? output.line : output.last, MAX_LINE);
	printf("}\n");
}

int main(int argc, char **argv)
{
	unsigned long long start_ns, wall_ns, lost = 0;
	struct bpf_object *probe;
	int out, status;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: observe PROGRAM [ARG...]\n");
		return OWN_FAILURE;
	}
	probe = start_probe();
	if (!probe)
		return fail("cannot start the probe " OBJECT);
	start_ns = now_ns();
	pid = start_program(argv + 1, &out);
	if (pid < 0)
		return fail("cannot start the program");
	status = wait_for_program(pid, out);
	wall_ns = now_ns() - start_ns;
	stop_probe(); /* from here on nothing changes under the reader */
	collect(probe);
	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(probe, ".bss.lost"), &(int){ 0 }, &lost);
	if (lost) {
		fprintf(stderr, "observe: no room for %llu tasks\n", lost);
		return OWN_FAILURE;
	}
	report(wall_ns, status);
	return status;
}
