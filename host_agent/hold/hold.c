// SPDX-License-Identifier: Apache-2.0
/*
 * schedcp-hold --object=PATH [--lease-ms=N] [--stop=FILE]… [--sys=DIR] [--shadow] -- [KNOB=VALUE | ops.FIELD=VALUE]…
 *
 * Loads one sched_ext object, attaches it, and holds its link. The kernel takes the policy off when this process ends,
 * however it ends: the link is pinned nowhere. Its stdin and stdout are one socket to the agent. It detaches by itself when
 * - no byte 'r' came for N ms, or the socket was closed (the agent hangs, or is dead);
 * - a stop file is there (the kill switch, which needs neither agent nor control plane);
 * - a byte 'd' came, or SIGTERM or SIGINT (the agent, or an administrator);
 * - the kernel has taken the policy off.
 * A byte 's' is answered by the policy's own counters (counters.c).
 * It runs under SCHED_FIFO with its memory locked: a policy that starves everything must not starve its own removal.
 *
 * How an object is loaded (knobs, what upstream's loaders fill, the exit record) is the guest's loader's: what was verified
 * is loaded by the same code as was used to verify it.
 */
#include "hold.h"
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 50	/* between two looks at stop files and the kernel's state */
#define PROVE_MS 2000
#define GONE_MS 2000

static volatile sig_atomic_t ended_by;

static void on_signal(int number)
{
	ended_by = number;
}

static int fail(const char *phase)
{
	fflush(stderr);
	say_end("failed", "phase", phase, 0, "");
	return 1;
}

static bool stopped(const struct options *options)
{
	struct stat st;

	for (int i = 0; i < options->nr_stops; i++)
		if (!lstat(options->stops[i], &st) || (errno != ENOENT && errno != ENOTDIR))
			return true;
	return false;
}

/* Why it is to be taken off; NULL if it is not, yet. Waits for LOOK_MS at most. */
static const char *reason_to_end(struct bpf_object *obj, const struct options *options, const char *ops, unsigned long seq,
				 uint64_t *until)
{
	struct pollfd agent = { .fd = STDIN_FILENO, .events = POLLIN };
	struct scx scx;
	char bytes[64];
	ssize_t n;

	if (poll(&agent, 1, LOOK_MS) > 0) {
		n = recv(STDIN_FILENO, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return "agent";
		if (n > 0 && memchr(bytes, 'd', n))
			return "asked";
		if (n > 0 && memchr(bytes, 'r', n))
			*until = now_ns() + options->lease_ms * 1000000ull;
		if (n > 0 && memchr(bytes, 's', n))
			say_counters(obj);
	}
	if (ended_by)
		return "signal";
	if (now_ns() > *until)
		return "lease";
	if (stopped(options))
		return "stop";
	read_scx(options->sys, &scx);
	return scx_is(&scx, ops, seq) ? NULL : "ejected";
}

static bool wait_for(const char *sys, const char *ops, unsigned long before, struct scx *scx)
{
	for (int ms = 0; ms < PROVE_MS; ms += 2, usleep(2000)) {
		read_scx(sys, scx);
		if (scx->enable_seq > before && scx_is(scx, ops, scx->enable_seq))
			return true;
	}
	return false;
}

static void hold(struct bpf_object *obj, struct bpf_link *link, const struct options *options, const struct scx *attached)
{
	uint64_t until = now_ns() + options->lease_ms * 1000000ull, began;
	const char *reason;
	char *words;
	struct scx scx;

	while (!(reason = reason_to_end(obj, options, attached->ops, attached->enable_seq, &until)))
		;
	began = now_ns();
	bpf_link__destroy(link);
	for (int ms = 0; ms < GONE_MS; ms += 1, usleep(1000)) {
		read_scx(options->sys, &scx);
		if (!strcmp(scx.state, "disabled") || scx.enable_seq != attached->enable_seq)
			break;
	}
	began = now_ns() - began;
	words = exit_words(obj);
	say_end("detached", "reason", reason, began, words ? words : "");
}

/* So that a policy which starves everything does not starve its own removal; the CPU's time is no longer limited. */
static bool stay_able_to_end(void)
{
	struct rlimit cpu = { RLIM_INFINITY, RLIM_INFINITY };
	struct sched_param fifo = { .sched_priority = 50 };

	setrlimit(RLIMIT_CPU, &cpu);
	return !mlockall(MCL_CURRENT) && !sched_setscheduler(0, SCHED_FIFO, &fifo);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct scx before, attached;
	struct bpf_object *obj;
	struct options options;
	uint64_t began, load_ns;
	struct bpf_link *link;
	const char *name;
	char text[1024];
	struct ops ops;

	if (!read_options(&options, argc, argv))
		return 2;
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	if (!confine()) {
		fprintf(stderr, "schedcp-hold: cannot give up what it does not need: %s\n", strerror(errno));
		return fail("confine");
	}
	began = now_ns();
	obj = open_object(options.object);
	if (!obj || !find_ops(obj, wanted(argc - options.words, argv + options.words), &ops))
		return fail("open");
	fill_as_loaders_do(obj, &ops);
	if (!configure(obj, &ops, argc - options.words, argv + options.words))
		return fail("open");
	name = ops_field(obj, &ops, "name");
	if (!name || !memchr(name, '\0', 128) || bpf_object__load(obj))
		return fail("load");
	name = ops_field(obj, &ops, "name");
	load_ns = now_ns() - began;
	read_scx(options.sys, &before);
	if (options.shadow) {
		say("{\"event\":\"shadow\",\"ops\":\"%s\",\"enable_seq\":%lu,\"load_ns\":%llu}", quoted(name, text, sizeof(text)),
		    before.enable_seq, (unsigned long long)load_ns);
		return 0;
	}
	if (!stay_able_to_end() || stopped(&options) || ended_by)
		return fail(stopped(&options) ? "stop" : "prepare");
	began = now_ns();
	link = attach_others(obj) ? bpf_map__attach_struct_ops(ops.map) : NULL;
	if (!link) {
		fprintf(stderr, "schedcp-hold: cannot attach: %s\n", strerror(errno));
		return fail("attach");
	}
	began = now_ns() - began;
	/* The call succeeds for a policy that is dead by then: only the kernel's own state tells. */
	if (!wait_for(options.sys, name, before.enable_seq, &attached)) {
		char *words;

		bpf_link__destroy(link);
		usleep(20000);
		words = exit_words(obj);
		say_end("failed", "phase", "prove", 0, words ? words : "");
		return 1;
	}
	say("{\"event\":\"attached\",\"ops\":\"%s\",\"enable_seq\":%lu,\"attach_ns\":%llu,\"load_ns\":%llu}",
	    quoted(name, text, sizeof(text)), attached.enable_seq, (unsigned long long)began, (unsigned long long)load_ns);
	hold(obj, link, &options, &attached);
	return 0;
}
