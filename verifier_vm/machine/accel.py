# SPDX-License-Identifier: Apache-2.0
"""Whether KVM is of any use here, told by booting a guest under it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from policy_lake.errors import SchedcpError
from policy_lake.files import atomic_write
from policy_lake.guest import GuestJob
from verifier_vm.machine.qemu import Accel, Machine, qemu_version
from verifier_vm.machine.vm import run

KVM_PROBE_S = 20.0


def usable_accel(machine: Machine, cache_dir: Path) -> Accel:
    """KVM where a guest really boots under it, else TCG; decided by booting one, once per boot of this host.

    /dev/kvm can open, create vCPUs and still die or hang in every guest, so its presence says nothing.
    """
    if not Path("/dev/kvm").exists():
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    key = f"{boot} {machine.kernel.stat().st_size} {qemu_version()}"
    memo = cache_dir / "kvm.json"
    try:
        known = json.loads(memo.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("key") != key:
        known = {"key": key, "accel": "kvm" if _boots_under_kvm(machine) else "tcg"}
        atomic_write(memo, json.dumps(known).encode())
    return "kvm" if known["accel"] == "kvm" else "tcg"


def _boots_under_kvm(machine: Machine) -> bool:
    try:
        plain = replace(machine, accel="kvm", clock=None, snapshots=None)
        run(GuestJob({}, ()), plain, deadline_s=KVM_PROBE_S, boots=1)
    except SchedcpError:
        return False
    return True
