// SPDX-License-Identifier: GPL-2.0-only
/* What both sides of a sub-scheduler need: policies in the cid form, which the kernel takes with an arena alone. */
#pragma once
#pragma clang diagnostic ignored "-Wmissing-declarations"
#define scx_bpf_sub_grant declared_without_address_space
#include "vmlinux.h"
#undef scx_bpf_sub_grant
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define __arena __attribute__((address_space(1)))
#define ONE_TURN_NS 5000000

extern s32 scx_bpf_sub_grant(u64 cgroup_id, u64 caps, const struct scx_cmask __arena *cmask__arena,
			     struct scx_cmask __arena *denied_out__arena__nullable) __weak __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
} arena SEC(".maps");

/* struct scx_cmask of up to 64 CPUs: one word more than those take, since its first bit need not be at a word's begin. */
struct mask {
	u32 base, nr_cids, alloc_words;
	u64 bits[2];
};
struct mask __arena cpus_of;

char _license[] SEC("license") = "GPL";
