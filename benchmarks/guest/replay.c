// SPDX-License-Identifier: Apache-2.0
/*
 * replay: does again what a recorded command's tasks did to the scheduler (replay_program.h has the format).
 *
 * Every task of the trace is a task here: made by the same parent as process or thread, with the same names and nice
 * values, using as much CPU time between its operations. What waited for another task waits for that one to get as far;
 * what waited for anything else sleeps as long. So the time it takes follows from how it is scheduled, not from the
 * original's clock. What an operation costs here is taken off the burst that follows it, since the original's burst
 * holds the original's cost. The last line printed is one JSON object; the exit status is 1 when something failed, 2
 * for wrong options.
 */
#define _GNU_SOURCE 1
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "replay_program.h"
#include "replay_spin.h"
#include "replay_waits.h"

#define THREAD_STACK 65536
#define NO_SAMPLE UINT32_MAX

struct shared {
	_Atomic uint32_t alive; /* tasks made and not ended; a futex */
	_Atomic uint32_t started, ended;
	_Atomic int failed; /* errno */
	_Atomic uint64_t end_ns;
	_Atomic uint64_t ends_us; /* the sum of when each task but the first ended, since the start */
	uint64_t start_ns;
};

static struct program program;
static struct shared *shared;
static struct edge *edges;
static _Atomic uint64_t *cpu_ns;	/* by name */
static uint32_t *answer_ns;		/* by operation: of the request that was answered with it, NO_SAMPLE if none was */
static uint32_t *delay_ns;		/* by operation: from what should wake it to running, NO_SAMPLE if it did not block */
static uint64_t jitter_permille, seed = 1, footprint_kib;
static uint64_t cost_ns[OP_KINDS + 1];	/* of an operation for who does it; the last: of a new process for itself */

struct task {
	uint32_t name;
	bool leads; /* its process, which has one working set with all its threads: named as this one is */
	bool passed_on; /* it has woken somebody since it was woken */
	uint32_t number;
	struct request request;
	int64_t owed_ns; /* CPU time used beyond what the trace says so far */
	uint64_t counted_ns, scale;
};

static void run_task(uint32_t number, uint32_t name, bool leads, uint64_t own_cost_ns);

static void fail(void)
{
	atomic_store(&shared->failed, errno ? errno : EINVAL);
	futex(&shared->alive, FUTEX_WAKE, 1);
	syscall(SYS_exit, 1);
}

/* Adds what this task used since the last time to the name that it had meanwhile. */
static void count_cpu(struct task *me)
{
	uint64_t now = thread_cpu_ns();

	atomic_fetch_add(&cpu_ns[me->name], now - me->counted_ns);
	me->counted_ns = now;
}

/* Told once more with each name: it becomes another program then. */
static void tell_footprint(const struct task *me)
{
	uint64_t own_kib = program.footprint_kib[me->name];

	if (me->leads)
		work_tell_footprint(own_kib ? own_kib : footprint_kib);
}

static void burst(struct task *me, uint64_t us)
{
	int64_t left_ns = (int64_t)(us * me->scale) - me->owed_ns;

	if (left_ns < 1000) {
		me->owed_ns = -left_ns;
		return;
	}
	spin((uint64_t)left_ns / 1000);
	me->owed_ns = -(left_ns % 1000);
}

struct birth {
	uint32_t number, name;
};

static void *thread_main(void *arg)
{
	struct birth birth = *(struct birth *)arg;

	free(arg);
	run_task(birth.number, birth.name, false, 0);
	return NULL;
}

static void make_thread(uint32_t number, uint32_t name)
{
	struct birth *birth = malloc(sizeof(*birth));
	pthread_attr_t attributes;
	pthread_t thread;

	if (!birth || pthread_attr_init(&attributes))
		fail();
	*birth = (struct birth){number, name};
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	errno = pthread_create(&thread, &attributes, thread_main, birth);
	if (errno)
		fail();
	pthread_attr_destroy(&attributes);
}

static void make_process(uint32_t number, uint32_t name)
{
	pid_t pid = fork();

	if (pid < 0)
		fail();
	if (pid == 0)
		run_task(number, name, true, cost_ns[OP_KINDS]);
}

#include "replay_requests.h"

static void do_exit(struct task *me)
{
	uint64_t end_ns = now_ns();

	count_cpu(me);
	if (me->number)
		atomic_fetch_add(&shared->ends_us, (end_ns - shared->start_ns) / 1000);
	atomic_fetch_add(&shared->ended, 1);
	if (atomic_fetch_sub(&shared->alive, 1) == 1) {
		atomic_store(&shared->end_ns, end_ns);
		futex(&shared->alive, FUTEX_WAKE, 1);
	}
	syscall(SYS_exit, 0); /* this thread alone: others of its process may have more to do */
}

static void do_op(struct task *me, const struct op *op)
{
	uint32_t *delay = &delay_ns[op - program.ops], *answered = &answer_ns[op - program.ops];
	bool free_of_cost = false;

	switch (op->kind) {
	case OP_FORK:
	case OP_THREAD:
		atomic_fetch_add(&shared->alive, 1);
		(op->kind == OP_FORK ? make_process : make_thread)((uint32_t)op->arg, me->name);
		break;
	case OP_WAKE:
		edges[op->arg].request = me->request;
		me->passed_on = true;
		free_of_cost = !wake(&edges[op->arg]);
		break;
	case OP_WAIT:
		end_turn(me, answered);
		free_of_cost = !wait_for(&edges[op->arg], delay);
		take_over(me, &edges[op->arg], answered);
		break;
	case OP_SLEEP:
		end_turn(me, answered);
		me->request = (struct request){sleep_us((uint64_t)op->arg, delay), me->number};
		me->passed_on = false;
		break;
	case OP_NAME:
		count_cpu(me);
		me->name = (uint32_t)op->arg;
		prctl(PR_SET_NAME, program.names[me->name]);
		tell_footprint(me);
		break;
	case OP_NICE:
		setpriority(PRIO_PROCESS, 0, op->arg - 20);
		break;
	case OP_EXIT:
		end_turn(me, answered);
		do_exit(me);
	}
	me->owed_ns += free_of_cost ? 0 : (int64_t)cost_ns[op->kind];
}

/* ns per us of the trace: two seeds are two runs of the same command, which are never quite equal. */
static uint64_t scale_of(uint32_t number)
{
	return 1000 - jitter_permille + (jitter_permille ? seeded(seed, number) % (2 * jitter_permille + 1) : 0);
}

static void run_task(uint32_t number, uint32_t name, bool leads, uint64_t own_cost_ns)
{
	struct task me = {.number = number, .name = name, .leads = leads, .owed_ns = (int64_t)own_cost_ns, .scale = scale_of(number)};

	tell_footprint(&me);
	atomic_fetch_add(&shared->started, 1);
	for (uint32_t i = program.first[number]; i < program.first[number + 1]; i++) {
		const struct op *op = &program.ops[i];

		/* The end of a process costs CPU time that the original's last burst holds. */
		if (op->kind == OP_EXIT)
			me.owed_ns += (int64_t)cost_ns[OP_EXIT];
		burst(&me, op->after_us);
		do_op(&me, op);
	}
	syscall(SYS_exit, 0);
}

#include "replay_cost.h"
#include "replay_report.h"

static void *shared_memory(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED) {
		perror("replay: no memory");
		exit(1);
	}
	return at;
}

static void prepare(void)
{
	const struct program_header *h = program.header;

	shared = shared_memory(sizeof(*shared));
	edges = shared_memory((h->edges + 1) * sizeof(*edges));
	cpu_ns = shared_memory(h->names * sizeof(*cpu_ns));
	delay_ns = shared_memory(h->ops * sizeof(*delay_ns));
	memset(delay_ns, 0xff, h->ops * sizeof(*delay_ns));
	answer_ns = shared_memory(h->ops * sizeof(*answer_ns));
	memset(answer_ns, 0xff, h->ops * sizeof(*answer_ns));
	/* Whoever loses its parent becomes a child of ours, and ours leave nothing to be waited for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1); /* the default, 50 us, would be part of every sleep */
}

/* Returns when the first task started. */
static uint64_t replay(void)
{
	uint64_t start_ns;
	uint32_t alive;

	atomic_store(&shared->alive, 1);
	start_ns = shared->start_ns = now_ns();
	if (fork() == 0) {
		prctl(PR_SET_NAME, program.names[0]);
		run_task(0, 0, true, cost_ns[OP_KINDS]);
	}
	while (!atomic_load(&shared->failed) && (alive = atomic_load(&shared->alive)))
		futex(&shared->alive, FUTEX_WAIT, alive);
	return start_ns;
}

int main(int argc, char **argv)
{
	uint64_t calibrate = 0, start_ns;
	const struct option_spec specs[] = {
		{"--seed", &seed, 0, UINT64_MAX},
		{"--jitter-permille", &jitter_permille, 0, 500},
		{"--costs", &calibrate, 0, 1},
		{"--footprint-kib", &footprint_kib, 0, 128 << 10},
		{NULL, NULL, 0, 0},
	};

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: replay PROGRAM [--seed N] [--jitter-permille N] [--costs 1]\n");
		return 2;
	}
	read_options(argc - 1, argv + 1, specs);
	if (program_open(argv[1], &program))
		return 1;
	prepare();
	spin_calibrate();
	cost_calibrate(calibrate);
	if (calibrate)
		return cost_report();
	start_ns = replay();
	if (atomic_load(&shared->failed)) {
		fprintf(stderr, "replay: cannot make a task: %s\n", strerror(shared->failed));
		signal(SIGTERM, SIG_IGN);
		kill(0, SIGTERM);
		return 1;
	}
	return report(start_ns);
}
