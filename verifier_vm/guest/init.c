// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 of the guest: takes one job from the host, does its steps, tells what happened, powers off.
 *
 * The job, on the port:	file NAME SIZE\n<SIZE bytes>	any number of times
 *				step VERB\tLABEL\tTIMEOUT_MS\tARG\tARG…\n
 *				seed NUMBER\n
 *				go\n		or stay\n
 * The answer: {"event":"ready",…} as soon as it can take one (a snapshot is taken there), {"event":"hello",…} when it has
 * taken one, one {"event":"step",…} per step up to the first that fails and is not followed by one whose verb is `anew` (which
 * has no event), {"event":"done"}. A job that ends in `stay` and did
 * all its steps leaves the guest as it is, ready for another one: a warm-up, after which a snapshot is taken once more.
 *
 * It runs as SCHED_FIFO, a class above sched_ext: a policy that starves everything cannot starve what judges it.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MAX_STEPS 512
#define SETTLE_MS 300	/* what the kernel puts off (RCU, dying cgroups) is done by then; a guest that idles costs nothing */

enum job { NO_JOB, LAST_JOB, MORE_TO_COME };

static struct step steps[MAX_STEPS];
static int nr_steps;

static void mount_all(void)
{
	static const struct { const char *type, *at; } mounts[] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" }, { "tmpfs", "/job" }, { "tmpfs", "/tmp" },
		{ "cgroup2", "/sys/fs/cgroup" }, { "tracefs", "/sys/kernel/tracing" }, { "bpf", "/sys/fs/bpf" },
	};
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].at, 0755);
		if (mount(mounts[i].type, mounts[i].at, mounts[i].type, 0, NULL))
			fprintf(stderr, "init: cannot mount %s at %s: %m\n", mounts[i].type, mounts[i].at);
	}
}

static bool take_step(char *line)
{
	struct step *s = &steps[nr_steps];
	char *timeout;

	if (nr_steps == MAX_STEPS)
		return false;
	*s = (struct step){ .index = nr_steps++ };
	s->verb = strsep(&line, "\t");
	s->label = strsep(&line, "\t");
	timeout = strsep(&line, "\t");
	if (!timeout)
		return false;
	s->timeout_ms = atol(timeout);
	while (line && s->argc < MAX_ARGS)
		s->argv[s->argc++] = strsep(&line, "\t");
	return !line;
}

static bool take_file(const char *line)
{
	char name[128], path[160];
	size_t size;

	if (sscanf(line, "%127s %zu", name, &size) != 2 || strchr(name, '/'))
		return false;
	snprintf(path, sizeof(path), "/job/%s", name);
	return port_file(path, size);
}

/*
 * Another seed makes another run from the same snapshot: other random numbers, and another phase of the scheduler's tick.
 * Without this, every guest that starts from one snapshot would draw the same.
 */
static void take_seed(unsigned long long seed)
{
	struct timespec phase = { .tv_nsec = (long)((seed * 0x9e3779b97f4a7c15ull >> 32) % 4000000) };
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, &seed, sizeof(seed)) != sizeof(seed) || ioctl(fd, RNDRESEEDCRNG))
		fprintf(stderr, "init: cannot seed the kernel's random numbers: %m\n");
	if (fd >= 0)
		close(fd);
	nanosleep(&phase, NULL);
}

/* NO_JOB when the host went away or spoke another language than this. */
static enum job take_job(void)
{
	unsigned long long seed = 0;
	char *line;

	CLOCK_FREEZE();
	while ((line = port_line())) {
		if (!strcmp(line, "go") || !strcmp(line, "stay")) {
			CLOCK_THAW();
			take_seed(seed);
			return line[0] == 'g' ? LAST_JOB : MORE_TO_COME;
		}
		if (sscanf(line, "seed %llu", &seed) == 1)
			continue;
		if (!strncmp(line, "file ", 5) ? !take_file(line + 5) : strncmp(line, "step ", 5) || !take_step(line + 5)) {
			fprintf(stderr, "init: cannot take job line '%.200s'\n", line);
			return NO_JOB;
		}
		if (line[0] == 'f')
			free(line);	/* a step keeps pointing into its line */
	}
	return NO_JOB;
}

static bool do_step(const struct step *s)
{
	struct text event = {};
	uint64_t start = now_ns();
	bool ok;

	text_printf(&event, "{\"event\":\"step\",\"index\":%d,\"verb\":", s->index);
	text_json(&event, s->verb, strlen(s->verb));
	text_printf(&event, ",\"label\":");
	text_json(&event, s->label, strlen(s->label));
	text_printf(&event, ",");
	if (!strcmp(s->verb, "attach"))
		ok = step_attach(s, &event);
	else if (!strcmp(s->verb, "run"))
		ok = step_run(s, &event);
	else if (!strcmp(s->verb, "start"))
		ok = step_start(s, &event);
	else if (!strcmp(s->verb, "stop"))
		ok = step_stop(&event);
	else if (!strcmp(s->verb, "rest"))
		ok = step_rest(s);
	else if (!strcmp(s->verb, "layout"))
		ok = step_layout(&event);
	else
		ok = !strcmp(s->verb, "detach") && step_detach(&event);
	text_printf(&event, "\"ok\":%s,\"seconds\":%.6f,", ok ? "true" : "false", (now_ns() - start) / 1e9);
	kmsg_json(&event);
	text_printf(&event, "}\n");
	port_send(&event);
	text_free(&event);
	return ok;
}

static void greet(const char *event)
{
	struct text line = {};
	struct utsname u;

	uname(&u);
	text_printf(&line, "{\"event\":\"%s\",\"kernel\":\"%s\",\"cpus\":%ld,\"switch_address\":%llu,\"protocol\":3}\n", event,
		    u.release, sysconf(_SC_NPROCESSORS_ONLN), kernel_symbol("__switch_to_asm"));
	port_send(&line);
	text_free(&line);
}

static bool is_anew(int i)
{
	return i < nr_steps && !strcmp(steps[i].verb, "anew");
}

/*
 * Whether every step was done well, or could fail since `anew` follows it, which takes off what is attached. What is still
 * attached at the end is taken off, for its exit record is evidence, unless the guest stays: then the next job finds it attached.
 */
static bool do_steps(bool stays)
{
	struct step detach = { .verb = "detach", .label = "", .index = -1 };
	struct text done = {};
	int i;

	greet("hello");
	for (i = 0; i < nr_steps; i++) {
		bool ok = is_anew(i) ? !attached_state() || do_step(&detach) : do_step(&steps[i]);

		if (!ok && !is_anew(i + 1))
			break;
	}
	if (attached_state() && !(stays && i == nr_steps))
		do_step(&detach);
	text_printf(&done, "{\"event\":\"done\"}\n");
	port_send(&done);
	text_free(&done);
	return i == nr_steps;
}

int main(void)
{
	struct sched_param fifo = { .sched_priority = 50 };
	enum job job;

	mount_all();
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &fifo);
	be_impatient();
	kmsg_open();
	dump_open();
	if (port_open()) {
		fprintf(stderr, "init: no port to the host\n");
		reboot(RB_POWER_OFF);
	}
	do {
		nr_steps = 0;
		greet("ready");
		job = take_job();
		if (job == NO_JOB || !do_steps(job == MORE_TO_COME))
			break;
		usleep(job == MORE_TO_COME ? SETTLE_MS * 1000 : 0);
	} while (job == MORE_TO_COME);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
