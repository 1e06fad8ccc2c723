// fails: build: 'theirs/common.bpf.h' file not found; give the directory that it is found from with -I
// SPDX-License-Identifier: GPL-2.0-only
/* Its headers are somebody's own, and nobody says where they lie. */
#include "vmlinux.h"
#include <theirs/common.bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

SEC(".struct_ops.link")
struct sched_ext_ops missing_header_ops = {
	.timeout_ms = 5000,
	.name = "missing_header",
};
