// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The C library's functions through which QEMU reads the time, sleeps and wakes its threads, in our version: this
 * object is preloaded, so the program's calls come here. Before the clock is installed, and on threads and clocks that
 * are none of its business, each does what the library's own would.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "baton.h"
#include "qemu_api.h"
#include "vclock.h"

#define MAX_FDS 1024
#define SIGSET_BYTES 8
/* As QEMU 10 names the thread of `thread=single`; with `-name debug-threads=on` it names its threads. */
#define VCPU_THREAD_NAME "ALL CPUs/TCG"

bool interposing;
static bool is_eventfd[MAX_FDS];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int real_ppoll(void *fds, unsigned long n, const struct timespec *timeout, const void *mask)
{
	struct timespec left;

	if (timeout)
		left = *timeout;	/* the system call writes what is left of it; the library's function must not */
	return (int)syscall(SYS_ppoll, fds, n, timeout ? &left : NULL, mask, SIGSET_BYTES);
}

/* Any other thread sees the main thread's time: the one that saves a snapshot stops the guest's clock. */
static struct timespec virtual_now(void)
{
	uint64_t ns = (role == VCPU_THREAD ? clock_vcpu_now_ps() : clock_main_now_ps()) / PS_PER_NS;

	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000ull), .tv_nsec = (long)(ns % 1000000000ull) };
}

QEMU_EXPORT int clock_gettime(clockid_t clock, struct timespec *t)
{
	if (!interposing || clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, t);
	*t = virtual_now();
	return 0;
}

/*
 * By this QEMU decides when its software TLB was too small for a while. A guest sees what is in the TLB: a kernel that clears
 * "accessed" bits without a flush, as DAMON does, finds them set again only where an entry had gone.
 */
QEMU_EXPORT int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;

	if (!interposing)
		return (int)syscall(SYS_gettimeofday, t, zone);
	now = virtual_now();
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

QEMU_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (!interposing || role != MAIN_THREAD)
		return real_ppoll(fds, n, timeout, mask);
	return baton_ppoll(fds, n, timeout, mask);
}

/* By another name, which nobody else's can stand for: as a plugin alone even this object would find the library's. */
extern __typeof__(ppoll) own_ppoll __attribute__((alias("ppoll"), visibility("hidden")));

bool is_preloaded(void)
{
	return dlsym(RTLD_DEFAULT, "ppoll") == (void *)own_ppoll;
}

QEMU_EXPORT int eventfd(unsigned int count, int flags)
{
	int fd = (int)syscall(SYS_eventfd2, count, flags);

	if (fd >= 0 && fd < MAX_FDS)
		is_eventfd[fd] = true;
	return fd;
}

/* The vCPU thread wakes the main thread through an eventfd: an earlier timer, a bottom half. */
QEMU_EXPORT ssize_t write(int fd, const void *data, size_t size)
{
	if (interposing && role == VCPU_THREAD && fd >= 0 && fd < MAX_FDS && is_eventfd[fd])
		clock_poke();
	return syscall(SYS_write, fd, data, size);
}

/*
 * A vCPU that touches a device takes QEMU's big lock, and one such device is the APIC, with which it sends interrupts.
 * (So does the loop between vCPUs; the clock tells a yield that changes nothing when it sees one.)
 */
QEMU_EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static int (*lock)(pthread_mutex_t *);

	if (!lock)
		lock = REAL(pthread_mutex_lock);
	if (interposing && role == VCPU_THREAD)
		clock_yield();
	return lock(mutex);
}

QEMU_EXPORT int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	static int (*wait)(pthread_cond_t *, pthread_mutex_t *);
	int error;

	if (!wait)
		wait = REAL(pthread_cond_wait);
	if (interposing && role == VCPU_THREAD) {
		baton_vcpus_idle(cond, mutex);
		return 0;
	}
	if (!interposing || role != MAIN_THREAD)
		return wait(cond, mutex);
	baton_main_waits();
	error = wait(cond, mutex);
	baton_main_goes_on();
	return error;
}

QEMU_EXPORT int pthread_cond_signal(pthread_cond_t *cond)
{
	static int (*signal)(pthread_cond_t *);

	if (!signal)
		signal = REAL(pthread_cond_signal);
	if (interposing)
		baton_woken(cond);
	return signal(cond);
}

QEMU_EXPORT int pthread_cond_broadcast(pthread_cond_t *cond)
{
	static int (*broadcast)(pthread_cond_t *);

	if (!broadcast)
		broadcast = REAL(pthread_cond_broadcast);
	if (interposing)
		baton_woken(cond);
	return broadcast(cond);
}

QEMU_EXPORT int pthread_setname_np(pthread_t thread, const char *name)
{
	static int (*set)(pthread_t, const char *);

	if (!set)
		set = REAL(pthread_setname_np);
	if (interposing && pthread_equal(thread, pthread_self()) && !strcmp(name, VCPU_THREAD_NAME))
		role = VCPU_THREAD;
	return set(thread, name);
}
