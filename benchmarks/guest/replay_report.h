/* SPDX-License-Identifier: Apache-2.0 */
/* What a replay prints. Only part of replay.c. */
#ifndef BENCHMARKS_REPLAY_REPORT_H
#define BENCHMARKS_REPLAY_REPORT_H

static int by_delay(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* A name is the recorded command's own choice. */
static void print_name(const char *name)
{
	putchar('"');
	for (int i = 0; i < NAME_LEN && name[i]; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '"' || c == '\\' || c < ' ' || c > '~')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void report_commands(double total_ms)
{
	bool first = true;

	printf(",\"commands\":[");
	for (uint32_t i = 0; i < program.header->names; i++) {
		double cpu_ms = (double)cpu_ns[i] / 1e6;

		if (cpu_ms <= 0)
			continue;
		printf("%s{\"comm\":", first ? "" : ",");
		print_name(program.names[i]);
		printf(",\"cpu_ms\":%.3f,\"share\":%.6f}", cpu_ms, cpu_ms / total_ms);
		first = false;
	}
	putchar(']');
}

/* Nearest rank: the smallest sample that so many of a thousand samples do not exceed. Returns how many there are. */
static uint64_t report_samples(const char *name, uint32_t *samples)
{
	static const struct { const char *name; uint64_t permille; } wanted[] = {
		{"p5", 50}, {"p10", 100}, {"p25", 250}, {"p50", 500}, {"p75", 750},
		{"p90", 900}, {"p95", 950}, {"p99", 990}, {"max", 1000},
	};
	uint64_t count = 0;

	for (uint32_t i = 0; i < program.header->ops; i++)
		if (samples[i] != NO_SAMPLE)
			samples[count++] = samples[i];
	qsort(samples, count, sizeof(*samples), by_delay);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint64_t rank = (count * wanted[i].permille + 999) / 1000;

		printf(",\"%s_%s_us\":%.3f", name, wanted[i].name, count ? (double)samples[rank - 1] / 1e3 : 0.0);
	}
	return count;
}

/* CPU time of all bursts as they were to be done, jitter and all. */
static double planned_ms(void)
{
	uint64_t total_ns = 0;

	for (uint32_t task = 0; task < program.header->tasks; task++)
		for (uint32_t i = program.first[task]; i < program.first[task + 1]; i++)
			total_ns += program.ops[i].after_us * scale_of(task);
	return (double)total_ns / 1e6;
}

static int report(uint64_t start_ns)
{
	double makespan_ms = (double)(shared->end_ns - start_ns) / 1e6, cpu_ms = 0, planned = planned_ms(), critical, bound;
	uint32_t tasks = program.header->tasks;
	uint64_t answers;
	bool ok = shared->started == tasks && shared->ended == tasks;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	for (uint32_t i = 0; i < program.header->names; i++)
		cpu_ms += (double)cpu_ns[i] / 1e6;
	/* No order of n CPUs beats the longest chain, or all of them busy all the time (Graham 1966). */
	critical = (double)(program.header->critical_us * (1000 - jitter_permille)) / 1e6;
	bound = planned / CPU_COUNT(&cpus) > critical ? planned / CPU_COUNT(&cpus) : critical;
	printf("{\"tasks\":%u,\"cpus\":%d,\"makespan_ms\":%.3f,\"bound_ms\":%.3f,\"critical_ms\":%.3f,\"planned_cpu_ms\":%.3f,"
	       "\"cpu_ms\":%.3f", tasks, CPU_COUNT(&cpus), makespan_ms, bound, critical, planned, cpu_ms);
	/* Of one task alone, that one's. */
	printf(",\"mean_end_ms\":%.3f", tasks > 1 ? (double)shared->ends_us / 1e3 / (tasks - 1) : makespan_ms);
	printf(",\"wakeups\":%llu", (unsigned long long)report_samples("delay", delay_ns));
	answers = report_samples("answer", answer_ns);
	printf(",\"answers\":%llu,\"answers_per_s\":%.3f", (unsigned long long)answers, (double)answers / makespan_ms * 1e3);
	report_commands(cpu_ms);
	printf(",\"ok\":%s}\n", ok ? "true" : "false");
	return ok ? 0 : 1;
}

#endif
