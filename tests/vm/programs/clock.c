// SPDX-License-Identifier: Apache-2.0
/* What a guest can see of its clock and of its CPUs; each mode prints one JSON object, spin none. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_CPUS 64
#define SLEEP_NS 20000000
#define NEAR_NS 5000	/* readings of several clocks that count as one moment */

struct moment {
	int64_t mono, real, tsc;
};

static atomic_llong latest_mono, latest_tsc;
static atomic_int started, turn;
static atomic_long backwards;
static int cpus, rounds;
static struct moment before[MAX_CPUS], after[MAX_CPUS];

static int64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (int64_t)high << 32 | low;
}

/* A tick between two readings would be taken for a difference of the clocks. */
static struct moment moment(void)
{
	struct moment m;

	do {
		m.mono = now(CLOCK_MONOTONIC);
		m.tsc = tsc();
		m.real = now(CLOCK_REALTIME);
	} while (now(CLOCK_MONOTONIC) - m.mono > NEAR_NS);
	return m;
}

/* Nothing read later, on any CPU, may be less than what was known before the reading. */
static void look(atomic_llong *latest, int64_t (*read_clock)(void))
{
	long long known = atomic_load(latest), seen = read_clock();

	if (seen < known)
		atomic_fetch_add(&backwards, 1);
	while (seen > known && !atomic_compare_exchange_weak(latest, &known, seen))
		;
}

static int64_t mono(void)
{
	return now(CLOCK_MONOTONIC);
}

static void pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		exit(3);
}

static void *observe(void *arg)
{
	int cpu = (int)(intptr_t)arg, i;

	pin(cpu);
	atomic_fetch_add(&started, 1);
	while (atomic_load(&started) < cpus)
		__builtin_ia32_pause();
	before[cpu] = moment();
	for (i = 0; i < rounds; i++) {		/* all at once … */
		look(&latest_mono, mono);
		look(&latest_tsc, tsc);
	}
	for (i = 0; i < rounds / 20; i++) {	/* … and one after the other: each CPU right after the one before it */
		while (atomic_load(&turn) % cpus != cpu)
			__builtin_ia32_pause();
		look(&latest_mono, mono);
		look(&latest_tsc, tsc);
		atomic_fetch_add(&turn, 1);
	}
	nanosleep(&(struct timespec){ .tv_nsec = SLEEP_NS }, NULL);
	look(&latest_mono, mono);
	look(&latest_tsc, tsc);
	after[cpu] = moment();
	return NULL;
}

static int64_t larger(int64_t a, int64_t b)
{
	return llabs(a) > llabs(b) ? llabs(a) : llabs(b);
}

static int times(int n, int count)
{
	pthread_t threads[MAX_CPUS];
	int64_t tsc_off = 0, real_off = 0, least = INT64_MAX;

	cpus = n;
	rounds = count;
	for (int i = 0; i < cpus; i++)
		if (pthread_create(&threads[i], NULL, observe, (void *)(intptr_t)i))
			return 3;
	for (int i = 0; i < cpus; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < cpus; i++) {
		int64_t span = after[i].mono - before[i].mono;

		least = span < least ? span : least;
		tsc_off = larger(tsc_off, after[i].tsc - before[i].tsc - span);
		real_off = larger(real_off, after[i].real - before[i].real - span);
	}
	printf("{\"cpus\":%d,\"backwards\":%ld,\"tsc_off_ns\":%lld,\"real_off_ns\":%lld,\"least_span_ns\":%lld,"
	       "\"last_ns\":%lld,\"turns\":%d}\n",
	       cpus, atomic_load(&backwards), (long long)tsc_off, (long long)real_off, (long long)least,
	       (long long)atomic_load(&latest_mono), atomic_load(&turn));
	return 0;
}

/* How late each kind of wait ends, in ns; negative is early. */
static int64_t late_sleep(int64_t ns)
{
	int64_t end = mono() + ns;
	struct timespec t = { .tv_sec = end / 1000000000, .tv_nsec = end % 1000000000 };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	return mono() - end;
}

static int64_t late_timer(int64_t ns)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	int64_t end = mono() + ns;
	struct itimerspec t = { .it_value = { .tv_sec = end / 1000000000, .tv_nsec = end % 1000000000 } };
	uint64_t fired;

	timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL);
	if (read(fd, &fired, sizeof(fired)) != sizeof(fired))
		exit(3);
	close(fd);
	return mono() - end;
}

static int waits(void)
{
	static const int64_t lengths[] = { 10000, 1000000, 3333333, 50000000, 1700000000 };

	printf("{\"late_ns\":[");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int64_t sleep = late_sleep(lengths[i]), timer = late_timer(lengths[i]);

		printf("%s%lld,%lld", i ? "," : "", (long long)sleep, (long long)timer);
	}
	printf("]}\n");
	return 0;
}

static int bursts;
static atomic_bool done;

static void *work(void *unused)
{
	(void)unused;
	pin(0);
	for (int i = 0; i < bursts; i++)
		__asm__ volatile("nopl 0x5ced0064(%rax)");	/* 10 us each */
	atomic_store(&done, true);
	return NULL;
}

/* One CPU works, another spins until that is done, a microsecond a PAUSE: both take the same time. */
static int keep_step(int n)
{
	pthread_t worker;
	long pauses = 0;

	bursts = n;
	if (pthread_create(&worker, NULL, work, NULL))
		return 3;
	pin(1);
	for (; !atomic_load(&done); pauses++)
		__builtin_ia32_pause();
	pthread_join(worker, NULL);
	printf("{\"pauses\":%ld}\n", pauses);
	return 0;
}

static void field(const char *name, const char *format, int n)
{
	char path[200], text[200] = "";
	FILE *file;

	snprintf(path, sizeof(path), format, n);
	file = fopen(path, "r");
	if (file && fgets(text, sizeof(text), file))
		text[strcspn(text, "\n")] = '\0';
	if (file)
		fclose(file);
	printf("\"%s\":\"%s\"", name, text);
}

static int topology(void)
{
#define CPU "/sys/devices/system/cpu/cpu%d/"
	int n = (int)sysconf(_SC_NPROCESSORS_ONLN);

	printf("{\"cpus\":[");
	for (int i = 0; i < n; i++) {
		printf("%s{", i ? "," : "");
		field("threads", CPU "topology/thread_siblings_list", i);
		printf(",");
		field("package", CPU "topology/core_siblings_list", i);
		printf(",");
		field("l3", CPU "cache/index3/shared_cpu_list", i);
		printf(",");
		field("l2_size", CPU "cache/index2/size", i);
		printf(",");
		field("l3_size", CPU "cache/index3/size", i);
		printf(",");
		field("capacity", CPU "cpu_capacity", i);
		printf("}");
	}
	printf("],\"nodes\":{");
	field("online", "/sys/devices/system/node/online", 0);
	for (int i = 0; i < n; i++) {
		char name[32], path[200];

		snprintf(name, sizeof(name), "%d", i);
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", i);
		if (access(path, R_OK))
			continue;
		printf(",");
		field(name, "/sys/devices/system/node/node%d/cpulist", i);
	}
	printf("}}\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "step") && argc == 3)
		return keep_step(atoi(argv[2]));
	if (!strcmp(what, "times") && argc == 4)
		return times(atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "waits"))
		return waits();
	if (!strcmp(what, "sleep") && argc == 3)
		return printf("{\"late_ns\":%lld}\n", (long long)late_sleep(atoll(argv[2]) * 1000000000)) < 0;
	if (!strcmp(what, "topology"))
		return topology();
	if (!strcmp(what, "spin"))
		for (;;)
			__asm__ volatile("");
	return 2;
}
