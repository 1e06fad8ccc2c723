# SPDX-License-Identifier: Apache-2.0
"""The policy that failures are held against: the library's simplest, which our tests hold to the whole suite."""

from __future__ import annotations

from functools import lru_cache

from bpf.build import compile_policy
from bpf.library import policy
from verifier_vm.machine.kernel import Kernel

TRUSTED = "fifo"


@lru_cache(maxsize=4)
def trusted_object(kernel: Kernel) -> bytes:
    """Its object for this kernel."""
    return compile_policy(policy(TRUSTED).source, name=TRUSTED, vmlinux_dir=kernel.headers).data
