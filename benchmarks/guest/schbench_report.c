// SPDX-License-Identifier: Apache-2.0
/* schbench: what was measured, on stderr in schbench's own words, and on stdout as one JSON object. */
#include "schbench.h"

#define PERCENTS 4

static const double latency_percents[PERCENTS] = {50, 90, 99, 99.9};
static const char *const flat_names[PERCENTS] = {"p50", "p90", "p99", "p999"};
static const double rps_percents[] = {20, 50, 90};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double sample(const double *sorted, uint64_t count, double percent)
{
	return count ? sorted[rank_of(count, percent) - 1] : 0;
}

static double delay_us(unsigned long long delay_ns, unsigned long long slices)
{
	return slices ? (double)delay_ns / (double)slices / 1e3 : 0;
}

static void tell_latency(const char *title, const struct histogram *h, double seconds)
{
	uint64_t count = histogram_count(h), below = 0;

	fprintf(stderr, "%s Latencies percentiles (usec) runtime %.0f (s) (%llu total samples)\n", title, seconds,
		(unsigned long long)count);
	for (unsigned int i = 0; i < PERCENTS; i++) {
		uint64_t rank = count ? rank_of(count, latency_percents[i]) : 0;

		fprintf(stderr, "\t%c %.1fth: %-10.0f (%llu samples)\n", latency_percents[i] == 99 ? '*' : ' ',
			latency_percents[i], histogram_us(h, latency_percents[i]), (unsigned long long)(rank - below));
		below = rank;
	}
	fprintf(stderr, "\t  min=%.0f, max=%.0f\n", histogram_us(h, 0), histogram_max_us(h));
}

static void tell(const double *rps, uint64_t count, double seconds, double average)
{
	tell_latency("Wakeup", stats.wakeup, seconds);
	tell_latency("Request", stats.request, seconds);
	fprintf(stderr, "RPS percentiles (requests) runtime %.0f (s) (%llu total samples)\n", seconds,
		(unsigned long long)count);
	for (unsigned int i = 0; i < 3; i++)
		fprintf(stderr, "\t%c %.1fth: %-10.0f\n", rps_percents[i] == 50 ? '*' : ' ', rps_percents[i],
			sample(rps, count, rps_percents[i]));
	if (opts.auto_percent)
		fprintf(stderr, "final rps goal was %llu\n", (unsigned long long)rps_goal);
	fprintf(stderr, "average rps: %.2f\n", average);
	fprintf(stderr, "sched delay: message %.0f (usec) worker %.0f (usec)\n",
		delay_us(stats.message_delay_ns, stats.message_slices), delay_us(stats.worker_delay_ns, stats.worker_slices));
}

/* The names that schbench gives them in its own JSON. */
static void print_schbench_names(const char *name, const struct histogram *h)
{
	for (unsigned int i = 0; i < PERCENTS; i++)
		printf("\"%s_latency_pct%.1f\":%.0f,", name, latency_percents[i], histogram_us(h, latency_percents[i]));
	printf("\"%s_latency_min\":%.0f,\"%s_latency_max\":%.0f,", name, histogram_us(h, 0), name, histogram_max_us(h));
}

/* The same as a descriptor can name them: without dots, and to the ns. */
static void print_flat_names(const char *name, const struct histogram *h)
{
	for (unsigned int i = 0; i < PERCENTS; i++)
		printf("\"%s_%s_us\":%.3f,", name, flat_names[i], histogram_us(h, latency_percents[i]));
	printf("\"%s_min_us\":%.3f,\"%s_max_us\":%.3f,", name, histogram_us(h, 0), name, histogram_max_us(h));
}

void report(double *rps, uint64_t count, double seconds, bool ok)
{
	double average = (double)stats.requests / seconds;

	qsort(rps, count, sizeof(*rps), by_value);
	tell(rps, count, seconds, average);
	printf("{\"int\":{");
	print_schbench_names("wakeup", stats.wakeup);
	print_schbench_names("request", stats.request);
	for (unsigned int i = 0; i < 3; i++)
		printf("\"rps_pct%.1f\":%.0f,", rps_percents[i], sample(rps, count, rps_percents[i]));
	printf("\"runtime\":%.3f},", seconds);
	print_flat_names("wakeup", stats.wakeup);
	print_flat_names("request", stats.request);
	for (unsigned int i = 0; i < 3; i++)
		printf("\"rps_p%.0f\":%.1f,", rps_percents[i], sample(rps, count, rps_percents[i]));
	printf("\"rps\":%.3f,\"rps_goal\":%llu,\"message_delay_us\":%.3f,\"worker_delay_us\":%.3f,", average,
	       (unsigned long long)rps_goal, delay_us(stats.message_delay_ns, stats.message_slices),
	       delay_us(stats.worker_delay_ns, stats.worker_slices));
	printf("\"transfers_per_s\":%.1f,\"wakeups\":%llu,\"requests\":%llu,\"refused\":%llu,\"runtime_s\":%.6f,\"ok\":%s}\n",
	       (double)stats.transferred / seconds, (unsigned long long)histogram_count(stats.wakeup),
	       (unsigned long long)histogram_count(stats.request), (unsigned long long)stats.refused, seconds,
	       ok ? "true" : "false");
}
