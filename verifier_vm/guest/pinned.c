// SPDX-License-Identifier: Apache-2.0
/*
 * W24: tasks that are queued while their migration is disabled. The kernel disables it for as long as it runs a BPF program for
 * a task that asks for that (BPF_PROG_TEST_RUN of a syscall program): whoever does nothing else is preempted in it.
 */
#include "adversary.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* With lazy preemption the tick that ends a slice only asks; the one after it, up to 10 ms later, interrupts the kernel, too. */
#define STAYS_NS 25000000
#define XORS 4000	/* between two looks at the clock, which cost the host microseconds each */
#define JUMP_COND 0xe0	/* BPF_JCOND: a loop that the BPF verifier need not follow to its end; Linux 6.9, not in Debian 12 */

static int program = -1;
static _Atomic uint64_t stays;

/* start = now(); do { …; if (now() - start > STAYS_NS) break; } while (may_goto); */
static int load(void)
{
	static struct bpf_insn code[XORS + 12];
	int n = 0, loop;

	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_0 };
	loop = n;
	for (int i = 0; i < XORS; i++)
		code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_XOR | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_SUB | BPF_X, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_6 };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_JGT | BPF_K, .dst_reg = BPF_REG_0, .off = 2, .imm = STAYS_NS };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | JUMP_COND, .off = 1 };
	code[n] = (struct bpf_insn){ .code = BPF_JMP | BPF_JA, .off = loop - n - 1 };
	n++;
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };

	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SYSCALL;
	attr.prog_flags = BPF_F_SLEEPABLE;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = n;
	attr.license = (uintptr_t)"GPL";
	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

/* From one CPU after the other, wherever the policy would have it: until it is preempted its mask has them all. */
static void run_program(struct worker *w)
{
	union bpf_attr attr;

	bind_to(0, (w->progress + w->index) % cpus);
	bind_to_all(0);
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = program;
	if (!syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		stays++;
}

static void w24(void)
{
	program = load();
	if (program < 0)
		perror("adversary: W24: bpf");
	figure("bpf_errors", program < 0);
	add("W24-stays", run_program, cpus);
	add("W24-hog", hog, cpus);
}

static void w24_told(void)
{
	figure("stays", stays);
}

const struct workload pinned_workloads[] = {
	{ "W24", w24, w24_told }, {},
};
