// SPDX-License-Identifier: Apache-2.0
/*
 * Small works, each of which one term of a machine makes longer: `machine WHAT NUMBER…` prints how long it took, in
 * nanoseconds of the guest's time. tests/vm/test_machine.py says what each must come to.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOOTPRINT_PAGES(n) __asm__ volatile("nopl 0x5cee" n "(%rax)")

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		exit(3);
}

/* Working sets are fixed in the code: 0, 64 KiB, 256 KiB, 1 MiB, 16 MiB, 64 MiB. */
static void tell(int kib)
{
	switch (kib) {
	case 0: FOOTPRINT_PAGES("0000"); break;
	case 64: FOOTPRINT_PAGES("0010"); break;
	case 256: FOOTPRINT_PAGES("0040"); break;
	case 1024: FOOTPRINT_PAGES("0100"); break;
	case 16384: FOOTPRINT_PAGES("1000"); break;
	case 65536: FOOTPRINT_PAGES("4000"); break;
	default: exit(4);
	}
}

/* Instructions of a loop that the compiler leaves alone. */
static void work(uint64_t instructions)
{
	uint64_t rounds = instructions / 2;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds));
}

static uint64_t worked(uint64_t instructions)
{
	uint64_t began = now();

	work(instructions);
	return now() - began;
}

static int to[2], back[2];

static void pass(int out, int in)
{
	char c = 0;

	if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1)
		exit(5);
}

static uint64_t rounds, each;
static int kib;

static void *answer(void *unused)
{
	uint64_t i;
	char c;

	(void)unused;
	for (i = 0; i < rounds; i++) {
		if (read(to[0], &c, 1) != 1)
			exit(5);
		work(each);
		if (write(back[1], &c, 1) != 1)
			exit(5);
	}
	return NULL;
}

static uint64_t asked(void)
{
	uint64_t began, i;

	began = now();
	for (i = 0; i < rounds; i++) {
		work(each);
		pass(to[1], back[0]);
	}
	return now() - began;
}

/* Two threads of one process on CPU 0 in turn: 2 switches a round. */
static uint64_t turns_of_threads(void)
{
	pthread_t other;
	uint64_t took;

	pthread_create(&other, NULL, answer, NULL);
	took = asked();
	pthread_join(other, NULL);
	return took;
}

/* Two processes, each with a working set that it has built up before. */
static uint64_t turns_of_processes(void)
{
	uint64_t took;
	pid_t other = fork();

	if (!other) {
		tell(kib);
		work(20000000);
		answer(NULL);
		_exit(0);
	}
	tell(kib);
	work(20000000);
	took = asked();
	waitpid(other, NULL, 0);
	return took;
}

static uint64_t moves(int a, int b)
{
	uint64_t began, i;

	pin(a);
	tell(kib);
	work(100000000);
	began = now();
	for (i = 0; i < rounds; i++) {
		pin(i % 2 ? a : b);
		work(each);
	}
	return now() - began;
}

static uint64_t took_there[64];

static void *works_there(void *cpu)
{
	pin((int)(intptr_t)cpu);
	took_there[(intptr_t)cpu] = worked(each);
	return NULL;
}

/* Processes, since threads share a working set; the longest counts. */
static uint64_t together(const int *cpus, int count)
{
	uint64_t longest = 0, took;
	int i, told[2];

	if (pipe(told))
		exit(6);
	for (i = 0; i < count; i++)
		if (!fork()) {
			pin(cpus[i]);
			tell(kib);
			work(50000000);	/* until its working set stands */
			works_there((void *)(intptr_t)cpus[i]);
			took = took_there[cpus[i]];
			work(20000000);
			_exit(write(told[1], &took, sizeof(took)) != sizeof(took));
		}
	for (i = 0; i < count; i++) {
		if (read(told[0], &took, sizeof(took)) != sizeof(took))
			exit(7);
		longest = took > longest ? took : longest;
	}
	while (wait(NULL) > 0)
		;
	return longest;
}

static uint64_t naps(uint64_t ns)
{
	struct timespec nap = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	uint64_t began = now(), i;

	for (i = 0; i < rounds; i++)
		nanosleep(&nap, NULL);
	return now() - began;
}

static uint64_t calls(void)
{
	uint64_t began = now(), i;

	for (i = 0; i < rounds; i++)
		sched_getaffinity(0, 0, NULL);	/* refused at once */
	return now() - began;
}

int main(int argc, char **argv)
{
	int number[16] = { 0 }, i;
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t took = 0;

	for (i = 2; i < argc && i < 18; i++)
		number[i - 2] = atoi(argv[i]);
	rounds = number[0];
	each = (uint64_t)number[1];
	kib = number[2];
	if (pipe(to) || pipe(back))
		return 2;
	pin(0);
	if (!strcmp(what, "threads"))
		took = turns_of_threads();
	else if (!strcmp(what, "processes"))
		took = turns_of_processes();
	else if (!strcmp(what, "moves"))
		took = moves(number[3], number[4]);
	else if (!strcmp(what, "together"))
		took = together(number + 4, number[3]);
	else if (!strcmp(what, "naps"))
		took = naps(each);
	else if (!strcmp(what, "calls"))
		took = calls();
	else
		return 2;
	printf("{\"ns\": %llu}\n", (unsigned long long)took);
	return 0;
}
