// SPDX-License-Identifier: Apache-2.0
/*
 * schbench: a worker. It waits for a message, thinks (as if for the network), and multiplies matrices under the lock of
 * the CPU that it is on, so that a worker which is preempted there makes the next one spin.
 */
#define _GNU_SOURCE 1
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "schbench.h"

/*
 * By the virtual clock a multiplication and addition takes what the original's takes, whatever was executed: there gcc -O2
 * makes 8 instructions of it, for the sum goes to memory each time. Where no machine says how long one takes that is 1 ns,
 * as on a CPU of today and not as in an emulator. Of PRODUCT_GROUP dot products one is really computed, and no-ops are
 * charged for the rest; they are short, so that interrupts come nearly as promptly as between instructions.
 */
#define PRODUCT_GROUP 128
#define STEP_INSNS 8
#define EXECUTED_INSNS 6
#define PS_PER_STEP (opts.user_ps ? STEP_INSNS * opts.user_ps : 1000)
#define PS_EXECUTED_PER_STEP (EXECUTED_INSNS * (opts.user_ps ? opts.user_ps : 1000))
#define BURST_PS 5000000ULL
#define BURST() __asm__ volatile("nopl 0x5ced0032(%rax)") /* 50 units of 100 ns */

static struct {
	atomic_bool held;
	char own_line[63];
} locks[CPU_SETSIZE];

void futex_post(atomic_uint *futex)
{
	if (atomic_exchange(futex, 1) == 0)
		syscall(SYS_futex, futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void futex_await(atomic_uint *futex)
{
	while (atomic_exchange(futex, 0) == 0)
		syscall(SYS_futex, futex, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

void add_own_delay(atomic_ullong *delay_ns, atomic_ullong *slices)
{
	unsigned long long ran, waited, count;
	FILE *file = fopen("/proc/thread-self/schedstat", "re");

	if (!file)
		return;
	if (fscanf(file, "%llu %llu %llu", &ran, &waited, &count) == 3) {
		atomic_fetch_add(delay_ns, waited);
		atomic_fetch_add(slices, count);
	}
	fclose(file);
}

/* Three square matrices fill the footprint. */
static uint64_t side(void)
{
	uint64_t n = 1;

	while ((n + 1) * (n + 1) * 3 * sizeof(uint64_t) <= opts.footprint_kb * 1024)
		n++;
	return n;
}

/*
 * A[i][k] = left(i) * inner(k) and B[k][j] = inner(k) * right(j), so that each element of the product is known:
 * left(i) * right(j) * dot, the sum of inner(k)^2, modulo 2^64.
 */
static uint64_t left(uint64_t i) { return seeded(opts.seed, 3 * i); }
static uint64_t right(uint64_t j) { return seeded(opts.seed, 3 * j + 1); }
static uint64_t inner(uint64_t k) { return seeded(opts.seed, 3 * k + 2); }

bool prepare_worker(struct worker *w)
{
	uint64_t n = side();

	w->pipe = malloc(opts.pipe_bytes + 1);
	w->matrices = malloc(3 * n * n * sizeof(uint64_t));
	if (!w->matrices || !w->pipe)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		w->dot += inner(i) * inner(i);
		for (uint64_t k = 0; k < n; k++) {
			w->matrices[i * n + k] = left(i) * inner(k);
			w->matrices[n * n + i * n + k] = inner(i) * right(k);
		}
	}
	memset(w->matrices + 2 * n * n, 0, n * n * sizeof(uint64_t));
	return true;
}

static void product(struct worker *w, uint64_t n, uint64_t i, uint64_t j)
{
	const uint64_t *a = w->matrices + i * n, *b = w->matrices + n * n + j;
	uint64_t sum = 0;

	for (uint64_t k = 0; k < n; k++)
		sum += a[k] * b[k * n];
	w->matrices[2 * n * n + i * n + j] = sum;
	if (sum != left(i) * right(j) * w->dot)
		atomic_fetch_add(&stats.wrong, 1);
}

/* One multiplication of two matrices. */
void multiply(struct worker *w)
{
	static _Thread_local uint64_t owed_ps;
	uint64_t n = side(), products = n * n;

	if (!work_in_bursts()) {
		for (uint64_t at = 0; at < products; at++)
			product(w, n, at / n, at % n);
		return;
	}
	for (uint64_t at = 0; at < products; at += PRODUCT_GROUP) {
		uint64_t group = products - at < PRODUCT_GROUP ? products - at : PRODUCT_GROUP;
		uint64_t one = at + w->next_product++ % group;

		product(w, n, one / n, one % n);
		owed_ps += group * n * PS_PER_STEP;
		owed_ps -= owed_ps < n * PS_EXECUTED_PER_STEP ? owed_ps : n * PS_EXECUTED_PER_STEP;
		for (; owed_ps >= BURST_PS; owed_ps -= BURST_PS)
			BURST();
	}
}

/* Migrated while it got the lock, a worker has the wrong one, and tries again: that is what moving costs here. */
static int lock_this_cpu(void)
{
	for (;;) {
		int cpu = sched_getcpu();

		while (atomic_exchange_explicit(&locks[cpu].held, true, memory_order_acquire))
			__builtin_ia32_pause();
		if (sched_getcpu() == cpu)
			return cpu;
		atomic_store_explicit(&locks[cpu].held, false, memory_order_release);
	}
}

static void operate(struct worker *w)
{
	int cpu = opts.no_locking ? -1 : lock_this_cpu();

	for (uint64_t i = 0; i < opts.operations; i++)
		multiply(w);
	if (cpu >= 0)
		atomic_store_explicit(&locks[cpu].held, false, memory_order_release);
}

/*
 * From half to one and a half times the think time: workers must not fall into step with one another. `spread` is the
 * percentage of that; with 0 all think for as long, as the original's do.
 */
static void think(struct worker *w)
{
	uint64_t drawn = seeded(~opts.seed, (w->index << 40) + w->thinks++);

	if (opts.think_us)
		usleep((useconds_t)(opts.think_us * (1000 - 5 * opts.spread + drawn % (10 * opts.spread + 1)) / 1000));
}

static void serve(struct worker *w, uint64_t since_ns)
{
	think(w);
	operate(w);
	histogram_add(stats.request, now_ns() - since_ns);
	atomic_fetch_add(&stats.requests, 1);
}

static void wait_for_message(struct worker *w)
{
	struct worker *top = atomic_load(&w->of->waiting);

	do
		w->next = top;
	while (!atomic_compare_exchange_weak(&w->of->waiting, &top, w));
	futex_post(&w->of->futex);
	futex_await(&w->futex);
}

static void take_transfer(struct worker *w)
{
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < opts.pipe_bytes; i++)
		wrong += w->pipe[i] != w->pipe[0];
	atomic_fetch_add(&stats.wrong, wrong);
	atomic_fetch_add(&stats.transferred, 1);
}

static void serve_all(struct worker *w)
{
	uint64_t taken = atomic_load(&w->taken);

	for (; taken != atomic_load(&w->sent) && !atomic_load(&stop); taken++) {
		uint64_t due_ns = w->due_ns[taken % PENDING_CAP];

		atomic_store(&w->taken, taken + 1);
		serve(w, due_ns);
	}
}

void *run_worker(void *arg)
{
	struct worker *w = arg;
	bool paced = atomic_load(&rps_goal) > 0;

	prctl(PR_SET_NAME, "schbench-worker");
	pthread_barrier_wait(&start);
	while (!atomic_load(&stop)) {
		uint64_t posted_ns;

		if (paced)
			futex_await(&w->futex);
		else
			wait_for_message(w);
		posted_ns = atomic_exchange(&w->posted_ns, 0);
		if (posted_ns)
			histogram_add(stats.wakeup, now_ns() - posted_ns);
		if (!posted_ns || atomic_load(&stop))
			continue;
		if (opts.pipe_bytes)
			take_transfer(w);
		else if (paced)
			serve_all(w);
		else
			serve(w, now_ns());
	}
	add_own_delay(&stats.worker_delay_ns, &stats.worker_slices);
	return NULL;
}
