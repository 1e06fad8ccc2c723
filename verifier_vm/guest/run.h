/* SPDX-License-Identifier: Apache-2.0 */
/* A program that init runs in a cgroup of its own: started, asked for its last words, ended, reported (child.c). */
#ifndef SCHEDCP_RUN_H
#define SCHEDCP_RUN_H

#include "guest.h"

#include <sys/types.h>

struct run {
	const char *cgroup;
	pid_t pid;
	int out, err, pidfd;
	struct text out_text, err_text;
	struct sched_state before, after;
	struct text events_before, events_after;
	int samples, attached;
	bool timed_out;
	int status;		/* of waitpid(), -1 while there is none */
};

extern struct run beside;	/* runs on between `start` and `stop` */

bool start_run(struct run *r, const struct step *s);
void drain(int fd, struct text *into);
void ask_to_end(struct run *r);		/* it may say what it saw until now, if it does so at once */
bool end_all(struct run *r);		/* ends it and what it left behind; false if something would not die */
void finish_run(struct run *r, struct text *event, bool ended);
bool exited_well(const struct run *r);

#endif
