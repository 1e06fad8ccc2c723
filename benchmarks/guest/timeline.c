// SPDX-License-Identifier: Apache-2.0
/*
 * timeline PROGRAM ARG…: runs a program, and then tells who ran where and who became runnable when, from the kernel's
 * own scheduler tracepoints. Not for a measurement: tracing costs time.
 *
 * SIGTERM ends the program at once: what it did until then is told.
 *
 * After the program's own output, one line an event, times in us since the first:
 *	C PID NAME		before the first event of that task, and whenever it has taken another name
 *	S US CPU PID STATE	from now on PID runs on CPU (0: idle); the one before it is left in STATE (R: still runnable)
 *	W US PID		PID became runnable
 *	E US EVENTS LOST	the end; LOST events did not fit into the kernel's buffer or into the output
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"
#define BUFFER_KB "4096"		/* per CPU */
#define MOST_BYTES (900 << 10)		/* the host takes 1 MiB of a program's output */
#define NAMES 4096

static struct {
	int pid;
	char comm[32];
} told[NAMES];	/* names that were told, by hash of the pid; a collision only repeats a C line */
static size_t written;
static volatile pid_t program;

/* Who is asked to end is not kept waiting by what it runs. */
static void end_program(int signal)
{
	(void)signal;
	if (program > 0)
		kill(-program, SIGKILL);
}

static int put(const char *file, const char *text)
{
	char path[160];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), TRACING "%s", file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
	if (n < 0)
		fprintf(stderr, "timeline: cannot write '%s' to %s: %s\n", text, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

static int start_tracing(void)
{
	return put("tracing_on", "0") || put("trace", "") || put("buffer_size_kb", BUFFER_KB) ||
	       put("trace_clock", "mono") || put("events/sched/sched_switch/enable", "1") ||
	       put("events/sched/sched_waking/enable", "1") || put("events/sched/sched_wakeup_new/enable", "1") ||
	       put("tracing_on", "1");
}

static void stop_tracing(void)
{
	put("tracing_on", "0");
	put("events/enable", "0");
}

static int run(char **argv)
{
	char path[160];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		snprintf(path, sizeof(path), "/bin/%s", argv[0]);
		execv(path, argv);
		snprintf(path, sizeof(path), "/job/%s", argv[0]);
		execv(path, argv);
		fprintf(stderr, "timeline: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (pid < 0)
		return 126;
	setpgid(pid, pid);	/* by whichever of the two comes first */
	program = pid;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void name(int pid, const char *comm)
{
	int slot = pid % NAMES;

	if (pid == 0 || (told[slot].pid == pid && !strcmp(told[slot].comm, comm)))
		return;
	told[slot].pid = pid;
	snprintf(told[slot].comm, sizeof(told[slot].comm), "%s", comm);
	written += printf("C %d %s\n", pid, comm);
}

/* The value of `key=` in a tracepoint's text, up to a space: names may hold spaces, so for those the next key ends it. */
static bool field(const char *line, const char *key, const char *next, char *into, size_t size)
{
	const char *start = strstr(line, key), *end;
	size_t length;

	if (!start)
		return false;
	start += strlen(key);
	end = next ? strstr(start, next) : start + strcspn(start, " \n");
	if (!end)
		return false;
	length = (size_t)(end - start) < size - 1 ? (size_t)(end - start) : size - 1;
	memcpy(into, start, length);
	into[length] = '\0';
	return true;
}

/* "   comm-123   [001] d..2.  12.345678: sched_switch: …"; false for a line that is no event. */
static bool place(const char *line, int *cpu, double *at_s)
{
	const char *bracket = strstr(line, " [");

	return bracket && isdigit((unsigned char)bracket[2]) && sscanf(bracket, " [%d] %*s %lf:", cpu, at_s) == 2;
}

static bool tell(const char *line, uint64_t us, int cpu)
{
	char comm[32], pid[16], left_comm[32], left_pid[16], state[16];

	if (strstr(line, ": sched_switch: ")) {
		if (!field(line, "next_comm=", " next_pid=", comm, sizeof(comm)) || !field(line, "next_pid=", NULL, pid, sizeof(pid)) ||
		    !field(line, "prev_comm=", " prev_pid=", left_comm, sizeof(left_comm)) ||
		    !field(line, "prev_pid=", NULL, left_pid, sizeof(left_pid)) ||
		    !field(line, "prev_state=", " ==>", state, sizeof(state)))
			return false;
		name(atoi(left_pid), left_comm);	/* the name it has by now */
		name(atoi(pid), comm);
		written += printf("S %llu %d %s %s\n", (unsigned long long)us, cpu, pid, state);
		return true;
	}
	if (!strstr(line, ": sched_waking: ") && !strstr(line, ": sched_wakeup_new: "))
		return false;
	if (!field(line, " comm=", " pid=", comm, sizeof(comm)) || !field(line, " pid=", NULL, pid, sizeof(pid)))
		return false;
	name(atoi(pid), comm);
	written += printf("W %llu %s\n", (unsigned long long)us, pid);
	return true;
}

static int tell_all(void)
{
	FILE *trace = fopen(TRACING "trace", "re");
	unsigned long events = 0, lost = 0, in_buffer = 0, ever = 0;
	double at_s, first_s = -1, last_s = 0;
	char line[1024];
	int cpu;

	while (trace && fgets(line, sizeof(line), trace)) {
		if (line[0] == '#') {
			sscanf(line, "# entries-in-buffer/entries-written: %lu/%lu", &in_buffer, &ever);
			continue;
		}
		if (!place(line, &cpu, &at_s))
			continue;
		first_s = first_s < 0 ? at_s : first_s;
		last_s = at_s;
		if (written > MOST_BYTES || !tell(line, (uint64_t)((at_s - first_s) * 1e6 + 0.5), cpu))
			lost++;
		else
			events++;
	}
	if (!trace || fclose(trace))
		return 1;
	lost += ever - in_buffer;
	printf("E %llu %lu %lu\n", (unsigned long long)((last_s - first_s) * 1e6 + 0.5), events, lost);
	return 0;
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2) {
		fprintf(stderr, "usage: timeline PROGRAM ARG...\n");
		return 2;
	}
	if (sigaction(SIGTERM, &(struct sigaction){ .sa_handler = end_program }, NULL) || start_tracing())
		return 1;
	status = run(argv + 1);
	stop_tracing();
	return tell_all() || status;
}
