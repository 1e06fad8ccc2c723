/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the guest's init share: the port to the host, the kernel log, the scheduler's state, steps. */
#ifndef SCHEDCP_GUEST_H
#define SCHEDCP_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_ARGS 64
#define OPS_NAME_LEN 128

struct text {			/* a growing byte buffer that keeps at most `limit` bytes and counts what it dropped */
	char *data;
	size_t len, cap, limit, dropped;
};

void text_add(struct text *t, const char *data, size_t len);
void text_json(struct text *t, const char *s, size_t len);	/* quoted and escaped; bytes >= 0x80 become '?' */
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *t);

/*
 * For the virtual clock (verifier_vm/vclock), no-ops without it: between the two, an idle guest's time stands still, so that a
 * snapshot taken there is of one moment, however long the host takes.
 */
#define CLOCK_FREEZE() __asm__ volatile("nopl 0x5ced0000(%rax)")
#define CLOCK_THAW() __asm__ volatile("nopl 0x5ced0001(%rax)")

struct sched_state {		/* /sys/kernel/sched_ext, one reading */
	char state[32];
	char ops[OPS_NAME_LEN];
	unsigned long enable_seq;
};

void sched_state_read(struct sched_state *s);
bool sched_state_enabled(const struct sched_state *s);
void sched_state_json(struct text *t, const struct sched_state *s);
void sched_events_json(struct text *t);	/* the event counters of the policy that is on, those that are not 0 */

struct step {
	int index;
	char *verb, *label;
	long timeout_ms;
	int argc;
	char *argv[MAX_ARGS + 1];
};

int port_open(void);
char *port_line(void);			/* next line of the job without its newline, or NULL when the host is gone */
bool port_file(const char *path, size_t size);	/* the next `size` bytes of the job into a file */
void port_send(const struct text *line);
bool port_host_gone(void);		/* the host closed its end: there is nobody left to work for */

void kmsg_open(void);
void kmsg_json(struct text *t);		/* "kmsg":[…]: what the kernel logged since the last call, if it matters */

void dump_open(void);
void dump_json(struct text *t);		/* "dump":"…": what it wrote down of CPUs and tasks on an error since the last call */

unsigned long long kernel_symbol(const char *name);	/* its address, 0 if the kernel does not tell */

uint64_t now_ns(void);
void be_impatient(void);
void be_quiet(bool quiet);	/* while nobody does anything */
bool step_rest(const struct step *s);	/* `rest SECONDS [quiet]` */
bool step_attach(const struct step *s, struct text *event);
bool step_detach(struct text *event);
bool step_layout(struct text *event);	/* where the code of what is attached lies */
bool step_run(const struct step *s, struct text *event);
bool step_start(const struct step *s, struct text *event);	/* a program that runs on beside the next steps */
bool step_stop(struct text *event);	/* ends it */
const struct sched_state *attached_state(void);	/* what was attached by step_attach and not yet detached, or NULL */

#endif
