/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What interpose.c calls in place of the blocking calls of QEMU's two threads. */
#ifndef VCLOCK_BATON_H
#define VCLOCK_BATON_H

#include <pthread.h>
#include <time.h>

int baton_ppoll(void *fds, unsigned long n, const struct timespec *timeout, const void *mask);
void baton_vcpus_idle(pthread_cond_t *cond, pthread_mutex_t *mutex);
void baton_woken(const pthread_cond_t *cond);	/* somebody signals `cond` */
void baton_main_waits(void);
void baton_main_goes_on(void);

#endif
