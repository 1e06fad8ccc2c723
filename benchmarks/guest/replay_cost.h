/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the replayer's own operations cost in CPU time. Under the virtual clock that is a matter of instructions, so it
 * was measured once (`replay PROGRAM --costs 1` in a guest under EEVDF); else it is measured before each replay, the
 * least of some trials. Only part of replay.c.
 */
#ifndef BENCHMARKS_REPLAY_COST_H
#define BENCHMARKS_REPLAY_COST_H

#define COST_TRIALS 30

static const uint64_t virtual_cost_ns[OP_KINDS + 1] = {
	[OP_FORK] = 79100, [OP_THREAD] = 15600, [OP_WAKE] = 1300, [OP_WAIT] = 3600, [OP_SLEEP] = 5800,
	[OP_NAME] = 1900, [OP_NICE] = 400, [OP_EXIT] = 74200, [OP_KINDS] = 39700,
};

static uint64_t clock_cost_ns; /* of reading the thread's CPU time, which is in every measurement */

static void cost_note(int kind, uint64_t took_ns)
{
	took_ns -= took_ns > clock_cost_ns ? clock_cost_ns : took_ns;
	if (took_ns < cost_ns[kind])
		cost_ns[kind] = took_ns;
}

#define COST_OF(kind, what) do { \
	uint64_t before_ns = thread_cpu_ns(); \
	what; \
	cost_note(kind, thread_cpu_ns() - before_ns); \
} while (0)

/* Two processes that wake each other in turn, by edges of their own. */
static void cost_ping_pong(struct edge *own)
{
	uint32_t delay;
	pid_t pid;

	for (int i = 0; i < 2 * COST_TRIALS; i++)
		atomic_store(&own[i].state, EDGE_OPEN);
	pid = fork();
	for (int i = 0; pid >= 0 && i < COST_TRIALS; i++) {
		uint64_t before_ns = thread_cpu_ns();
		bool waited = pid ? wake(&own[2 * i]) : wait_for(&own[2 * i], &delay);

		if (pid && waited)
			cost_note(OP_WAKE, thread_cpu_ns() - before_ns);
		before_ns = thread_cpu_ns();
		waited = pid ? wait_for(&own[2 * i + 1], &delay) : wake(&own[2 * i + 1]);
		if (pid && waited)
			cost_note(OP_WAIT, thread_cpu_ns() - before_ns);
	}
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* A process like those of the replay: what it costs its parent, itself to start, and itself to end. */
static void cost_process(uint64_t *at_start_ns)
{
	uint64_t before_ns = thread_cpu_ns(), total_ns;
	struct rusage usage;
	pid_t pid = fork();

	if (pid == 0) {
		*at_start_ns = thread_cpu_ns();
		syscall(SYS_exit, 0);
	}
	cost_note(OP_FORK, thread_cpu_ns() - before_ns);
	if (pid < 0 || wait4(pid, NULL, 0, &usage) != pid)
		return;
	total_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ULL +
		   (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ULL;
	cost_note(OP_KINDS, *at_start_ns);
	cost_note(OP_EXIT, total_ns - *at_start_ns);
}

static void *cost_thread(void *arg)
{
	return arg;
}

static void cost_measure(void)
{
	struct edge *own = mmap(NULL, 2 * COST_TRIALS * sizeof(*own), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				-1, 0);
	uint32_t delay;
	pthread_t thread;

	if (own == MAP_FAILED)
		return;
	signal(SIGCHLD, SIG_DFL);
	cost_ping_pong(own);
	for (int i = 0; i < COST_TRIALS; i++) {
		cost_process(&own->woken_ns);
		COST_OF(OP_SLEEP, sleep_us(50, &delay));
		COST_OF(OP_NAME, (void)thread_cpu_ns(); prctl(PR_SET_NAME, "replay")); /* the CPU time is counted then */
		COST_OF(OP_NICE, setpriority(PRIO_PROCESS, 0, 0));
		COST_OF(OP_THREAD, pthread_create(&thread, NULL, cost_thread, NULL));
		pthread_join(thread, NULL);
	}
	signal(SIGCHLD, SIG_IGN);
	munmap(own, 2 * COST_TRIALS * sizeof(*own));
}

static void cost_calibrate(uint64_t anew)
{
	if (work_in_bursts() && !anew) {
		memcpy(cost_ns, virtual_cost_ns, sizeof(cost_ns));
		return;
	}
	memset(cost_ns, 0xff, sizeof(cost_ns));
	clock_cost_ns = UINT64_MAX;
	for (int i = 0; i < COST_TRIALS; i++) {
		uint64_t before_ns = thread_cpu_ns(), took_ns = thread_cpu_ns() - before_ns;

		clock_cost_ns = took_ns < clock_cost_ns ? took_ns : clock_cost_ns;
	}
	cost_measure();
	for (int kind = 0; kind <= OP_KINDS; kind++)
		cost_ns[kind] = cost_ns[kind] == UINT64_MAX ? 0 : cost_ns[kind];
}

static int cost_report(void)
{
	static const char *const names[OP_KINDS + 1] = {"fork", "thread", "wake", "wait", "sleep", "name", "nice", "exit",
							"nothing", "start"};

	printf("{\"costs_ns\":{\"clock\":%llu", (unsigned long long)clock_cost_ns);
	for (int kind = 0; kind <= OP_KINDS; kind++)
		printf(",\"%s\":%llu", names[kind], (unsigned long long)cost_ns[kind]);
	printf("}}\n");
	return 0;
}

#endif
