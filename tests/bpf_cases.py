# SPDX-License-Identifier: Apache-2.0
"""Sources compiled as policies are."""

from __future__ import annotations

from bpf.build import compile_policy


def compile_here(source, vmlinux_dir, **options):
    return compile_policy(source, name="mine.bpf.c", vmlinux_dir=vmlinux_dir, **options)
