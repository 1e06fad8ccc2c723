/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel takes for calls, for switches between processes, and for waking an idle CPU. */
#include "measure.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ROUNDS 200
#define PAGE 4096

static int there[2], back[2];

static void must(ssize_t done)
{
	if (done < 0)
		err(4, "a system call");
}

static void one_round(void)
{
	char byte = 0;
	struct stat what;

	for (int i = 0; i < 4; i++)
		syscall(SYS_getppid);
	for (int i = 0; i < 2; i++) {
		must(write(there[1], &byte, 1));
		must(read(there[0], &byte, 1));
		must(stat("/", &what));
	}
	char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		err(4, "mmap");
	for (int i = 0; i < 4; i++)
		((volatile char *)pages)[i * PAGE] = 1;
	must(munmap(pages, 4 * PAGE));
}

void syscalls(char **args)
{
	int reps = atoi(args[1]);

	pin(atoi(args[0]));
	must(pipe(there));
	for (int rep = -1; rep < reps; rep++) {
		uint64_t began = now_ns();

		for (int i = 0; i < ROUNDS; i++)
			one_round();
		if (rep >= 0)
			sample((double)(now_ns() - began) / ROUNDS);
	}
}

/* A process that answers each byte with the time at which it had it. */
static pid_t answerer(int cpu)
{
	must(pipe(there));
	must(pipe(back));
	pid_t child = fork();

	if (child < 0)
		err(4, "fork");
	if (!child) {
		char byte;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(cpu);
		while (read(there[0], &byte, 1) == 1) {
			uint64_t at = now_ns();

			must(write(back[1], &at, sizeof(at)));
		}
		_exit(0);
	}
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static double round_trip_ns(int rounds)
{
	uint64_t began = now_ns(), at;
	char byte = 0;

	for (int i = 0; i < rounds; i++) {
		must(write(there[1], &byte, 1));
		must(read(back[0], &at, sizeof(at)));
	}
	return (double)(now_ns() - began) / rounds;
}

/* The same calls, and nobody else to switch to. */
static double calls_ns(int rounds)
{
	uint64_t began, at = 0;
	int own[2];
	char byte = 0;

	must(pipe(own));
	began = now_ns();
	for (int i = 0; i < rounds; i++) {
		must(write(own[1], &byte, 1));
		must(read(own[0], &byte, 1));
		at += now_ns() & 1;
		must(write(own[1], &at, sizeof(at)));
		must(read(own[0], &at, sizeof(at)));
	}
	double took = (double)(now_ns() - began) / rounds;

	close(own[0]);
	close(own[1]);
	return took;
}

void switches(char **args)
{
	int cpu = atoi(args[0]), reps = atoi(args[1]);
	pid_t child = answerer(cpu);

	pin(cpu);
	round_trip_ns(ROUNDS);
	for (int rep = 0; rep < reps; rep++)
		sample((round_trip_ns(5 * ROUNDS) - calls_ns(5 * ROUNDS)) / 2);
	end(child);
}

void pingpong(char **args)
{
	int cpu = atoi(args[0]), reps = atoi(args[1]);
	pid_t child = answerer(cpu);

	pin(cpu);
	round_trip_ns(ROUNDS);
	for (int rep = 0; rep < reps; rep++)
		sample(round_trip_ns(5 * ROUNDS) / 2);
	end(child);
}

void wake(char **args)
{
	int cpu = atoi(args[0]), other = atoi(args[1]), reps = atoi(args[3]);
	uint64_t idle_ns = strtoull(args[2], NULL, 10) * 1000, at;
	char byte = 0;
	pid_t child = answerer(other);

	pin(cpu);
	for (int rep = -2; rep < reps; rep++) {
		uint64_t until = now_ns() + idle_ns, began;

		while ((began = now_ns()) < until)
			;
		must(write(there[1], &byte, 1));
		must(read(back[0], &at, sizeof(at)));
		if (rep >= 0)
			sample((double)at - (double)began);
	}
	end(child);
}
