/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Empty in place of glibc's: for a target that is not x86-64 glibc's asks for stubs-32.h, which only 32-bit development
 * packages bring. So <errno.h> and the like can be included by a policy.
 */
