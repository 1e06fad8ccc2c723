/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of a kernel's types as the probe reads. The field offsets are the running kernel's: libbpf puts them in by its
 * BTF when it loads the object, so that no vmlinux.h has to be made on a host that is only observed.
 */
#ifndef SCHEDCP_HOST_VMLINUX_H
#define SCHEDCP_HOST_VMLINUX_H

typedef signed char __s8;
typedef unsigned char __u8, u8;
typedef short __s16;
typedef unsigned short __u16, u16, __be16, __sum16;
typedef int __s32, s32;
typedef unsigned int __u32, u32, __be32, __wsum;
typedef long long __s64, s64;
typedef unsigned long long __u64, u64, __be64;
typedef _Bool bool;
#define NULL ((void *)0)

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6 };
enum { BPF_ANY = 0, BPF_F_MMAPABLE = 1 << 10 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	int pid;
	char comm[16];
};

#pragma clang attribute pop

#endif
