/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tells one kind of job from another before it has used its CPU time, each part as a number of 64 bits; 0 says that
 * it is not known. The probe and the policies read it here, so that the probe's numbers are the policies' hints. It wants
 * vmlinux.h and libbpf's headers before it. Nothing read here can fault: what cannot be read is not known.
 */
#ifndef SX_PRIMITIVE_JOBKEY_H
#define SX_PRIMITIVE_JOBKEY_H

/* The parts, as places in an array and, shifted, as bits of a choice. */
enum sx_job_part {
	SX_JOB_NAME, /* the command's name */
	SX_JOB_ARGUMENTS, /* all of argv as exec was given it */
	SX_JOB_EXECUTABLE, /* the file's name, without its folders */
	SX_JOB_PARENT, /* the name that the parent had at fork */
	SX_JOB_CGROUP, /* the name of its cgroup, without those above */
	SX_JOB_POSITION, /* its number among its parent's children, from 1 */
	SX_JOB_PARTS,
};

#define SX_HASH_SEED 0xcbf29ce484222325ULL
#define SX_JOB_CHUNK 64
#define SX_JOB_CHUNKS 32 /* of the arguments; of longer ones the first half and the last: compilers name the file last */
#define SX_JOB_TEXT 64 /* bytes of a file's or a cgroup's name */

#define SX_KNOWN 1ULL /* set in every hash that is a key, which so is never 0 */

/* FNV-1a (Fowler, Noll, Vo) with words of 64 bits in place of bytes: one multiplication for eight of them. */
static __always_inline u64 sx_hash(u64 hash, const u64 *words, u32 count)
{
	u32 i;

#pragma unroll
	for (i = 0; i < count; i++)
		hash = (hash ^ words[i]) * 0x100000001b3ULL;
	return hash;
}

static __always_inline u64 sx_name_key(const char *comm)
{
	u64 words[2] = {};

	bpf_probe_read_kernel(words, sizeof(words), comm);
	return sx_hash(SX_HASH_SEED, words, 2) | SX_KNOWN;
}

static __always_inline u64 sx_text_key(const void *text)
{
	u64 words[SX_JOB_TEXT / 8] = {};

	if (!text || bpf_probe_read_kernel_str(words, sizeof(words), text) <= 0)
		return 0;
	return sx_hash(SX_HASH_SEED, words, SX_JOB_TEXT / 8) | SX_KNOWN;
}

/* Where the i-th chunk of the arguments begins: of more than all chunks hold, the second half is the end of them. */
static __always_inline u64 sx_chunk_at(u64 start, u64 end, u32 i)
{
	if (i < SX_JOB_CHUNKS / 2 || end - start <= SX_JOB_CHUNKS * SX_JOB_CHUNK)
		return start + i * SX_JOB_CHUNK;
	return end - (SX_JOB_CHUNKS - i) * SX_JOB_CHUNK;
}

/* Of the running process, whose memory mm must be; 0 while exec has not laid the arguments out, or one cannot be read. */
static __always_inline u64 sx_arguments_key(const struct mm_struct *mm)
{
	u64 start = BPF_CORE_READ(mm, arg_start), end = BPF_CORE_READ(mm, arg_end), size = end - start;
	u64 hash = sx_hash(SX_HASH_SEED, &size, 1);
	s32 i;

	if (!start || end <= start)
		return 0;
	bpf_for(i, 0, SX_JOB_CHUNKS) {
		u64 words[SX_JOB_CHUNK / 8] = {}, at = sx_chunk_at(start, end, i), left = end - at;

		if (at >= end)
			break;
		if (bpf_probe_read_user(words, left < SX_JOB_CHUNK ? left & (SX_JOB_CHUNK - 1) : SX_JOB_CHUNK, (void *)at))
			return 0;
		hash = sx_hash(hash, words, SX_JOB_CHUNK / 8);
	}
	return hash | SX_KNOWN;
}

static __always_inline u64 sx_executable_key(const struct mm_struct *mm)
{
	return sx_text_key(BPF_CORE_READ(mm, exe_file, f_path.dentry, d_name.name));
}

static __always_inline u64 sx_cgroup_key(const struct task_struct *p)
{
	return sx_text_key(BPF_CORE_READ(p, cgroups, dfl_cgrp, kn, name));
}

#endif
