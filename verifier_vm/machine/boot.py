# SPDX-License-Identifier: Apache-2.0
"""How long a guest may take to boot before it is given up for lost."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from verifier_vm.machine.qemu import Machine

BOOT_LIMIT_S = 90.0  # twenty times a boot on a quiet host without KVM
BOOT_CPU_S, PATIENCE = 30.0, 4  # of QEMU's CPU time, six times what a boot takes
UNPACKED_A_SECOND = 4 << 20  # of an initramfs, by an emulated kernel on a busy host


def boot_limit_s(machine: Machine) -> float:
    """Seconds within which it boots if the host lets it."""
    # By the virtual clock vCPUs take turns on one host CPU, and a boot takes the longer the more there are.
    turns_s = BOOT_LIMIT_S * (1 + (machine.cpus // 8 if machine.clock else 0))
    return turns_s + (machine.initrd.stat().st_size / UNPACKED_A_SECOND if machine.initrd.exists() else 0.0)


def boots_too_long(pid: int, *, started: float, limit_s: float) -> bool:
    """Whether QEMU's guest is past its limit, unless a busy host gave it too little CPU time; four times that at most.

    `started` is monotonic.
    """
    spent_s = time.monotonic() - started
    if spent_s <= limit_s:
        return False
    return spent_s > PATIENCE * limit_s or cpu_s(pid) > BOOT_CPU_S


def cpu_s(pid: int) -> float:
    """The CPU time that a process has had; a great deal if it is gone (proc(5): utime and stime, in ticks)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return math.inf
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
