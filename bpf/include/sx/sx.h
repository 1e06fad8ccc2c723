/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sx: the one header a sched_ext policy of ours includes.
 *
 * Every kernel function that a policy may call has one spelling here, with the prefix sx_, on every kernel from 6.12 to
 * 7.3. How: each generation of a kfunc is declared as a weak extern whose name ends in ___sx. libbpf looks up the part
 * before the last ___ and leaves an extern unresolved where the kernel lacks it or has another prototype; the wrappers
 * then take the newest generation that did resolve, and the BPF verifier drops the dead branches.
 */
#ifndef SX_H
#define SX_H

/* The prototypes that bpftool prints would fix one generation of each kfunc; ours leave the choice to load time. */
#define BPF_NO_KFUNC_PROTOTYPES
#include "vmlinux.h"

/* Some kernels' BTF (old pahole, or 64-bit enums left out) cuts 64-bit enumerators: every DSQ id would then be wrong. */
_Static_assert(SCX_DSQ_FLAG_BUILTIN != 0, "vmlinux.h has truncated 64-bit enums: dump it again with a newer pahole");
_Static_assert(SCX_SLICE_INF == ~0ULL, "vmlinux.h has truncated 64-bit enums: dump it again with a newer pahole");

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Errors that callbacks return: macros of the kernel's, so they are in no BTF. */
#define ENOMEM 12
#define EINVAL 22
#define E2BIG 7

#define SX_US 1000ULL
#define SX_MS 1000000ULL
#define SX_SEC 1000000000ULL

#include "sx/dsq.h"
#include "sx/cpu.h"
#include "sx/task.h"
#include "sx/report.h"
#include "sx/ops.h"

#endif
