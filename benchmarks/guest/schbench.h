/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of schbench share: the options, a worker, a message thread, what is measured. */
#ifndef BENCHMARKS_SCHBENCH_H
#define BENCHMARKS_SCHBENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "work.h"

#define PENDING_CAP 128
#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

struct options {
	uint64_t messengers, workers, runtime_ms, warmup_ms, footprint_kb, operations, think_us;
	uint64_t rps, auto_percent, pipe_bytes, seed, user_ps, spread;
	bool no_locking;
};

struct histogram; /* times in ns, kept to a thousandth of themselves; any thread may add */

/* What all threads add to. `*_slices` counts how often a thread got a CPU, `*_delay_ns` how long it had to wait for it. */
struct stats {
	struct histogram *wakeup, *request;
	atomic_ullong requests, refused, transferred, wrong;
	atomic_ullong message_delay_ns, message_slices, worker_delay_ns, worker_slices;
};

struct worker {
	pthread_t thread;
	uint64_t index, thinks, next_product;
	struct messenger *of;
	struct worker *next;
	atomic_uint futex;
	atomic_ullong posted_ns; /* when the message was sent for which it wakes */
	/* Paced: the times at which requests were due, written by the messenger, read by the worker. */
	uint64_t due_ns[PENDING_CAP];
	atomic_ullong sent, taken;
	uint64_t *matrices, dot;
	char *pipe;
};

struct messenger {
	pthread_t thread;
	uint64_t index;
	atomic_uint futex;
	_Atomic(struct worker *) waiting; /* a stack of the workers that wait for a message */
	struct worker *workers;
};

extern struct options opts;
extern struct stats stats;
extern atomic_bool stop;
extern atomic_ullong rps_goal; /* requests a second, of all messengers; 0: as fast as the workers ask for them */
extern pthread_barrier_t start;

struct histogram *histogram_new(void);
void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_count(const struct histogram *h);
double histogram_us(const struct histogram *h, double percent);
double histogram_max_us(const struct histogram *h);
uint64_t rank_of(uint64_t count, double percent);

/* Of messages between threads: a post that nobody awaits yet is not lost, and several are one. */
void futex_post(atomic_uint *futex);
void futex_await(atomic_uint *futex);
void add_own_delay(atomic_ullong *delay_ns, atomic_ullong *slices);

bool prepare_worker(struct worker *w);
void multiply(struct worker *w);
void *run_worker(void *arg);
void *run_messenger(void *arg);

void report(double *rps_samples, uint64_t count, double seconds, bool ok);

#endif
