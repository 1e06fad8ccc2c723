# SPDX-License-Identifier: Apache-2.0
"""What a guest runs on: its machine, QEMU's command line, and whether KVM is of any use here."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from policy_lake.model import GuestJob, InfraError, SchedcpError

Accel = Literal["kvm", "tcg"]
QEMU = "qemu-system-x86_64"
MIN_QEMU = (9, 1)
KVM_PROBE_S = 20.0
# loglevel=5 puts warnings on the console, which is evidence; a panic ends QEMU at once (-no-reboot, panic=-1).
KERNEL_ARGUMENTS = "console=ttyS0 loglevel=5 panic=-1 nokaslr mitigations=off rdinit=/init"


@dataclass(frozen=True, slots=True)
class Machine:
    """A guest to boot: kernel and initramfs by path, vCPUs, memory in MiB, accelerator."""

    kernel: Path
    initrd: Path
    cpus: int = 2
    memory_mib: int = 512
    accel: Accel = "tcg"


def command_line(machine: Machine, port_fd: int) -> list[str]:
    """QEMU's command line: console on its stdout, the job's port on the socket `port_fd`, no disk, no network."""
    accel = "kvm" if machine.accel == "kvm" else "tcg,thread=multi"
    cpu = "host" if machine.accel == "kvm" else "max"
    return [
        # Dies with the thread that started it, however that ends: nothing to clean up after a SIGKILL.
        "setpriv", "--pdeathsig", "KILL",
        QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-M", "q35", "-accel", accel, "-cpu", cpu, "-smp", str(machine.cpus), "-m", str(machine.memory_mib),
        "-kernel", str(machine.kernel), "-initrd", str(machine.initrd), "-append", KERNEL_ARGUMENTS,
        "-serial", "stdio",
        "-chardev", f"socket,id=job,fd={port_fd}",
        "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=job,name=schedcp.job,nr=1",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=allow",
    ]  # fmt: skip


def qemu_version() -> tuple[int, ...]:
    """QEMU's version; InfraError with the mending command when it is missing or too old."""
    if not shutil.which(QEMU):
        raise InfraError(f"{QEMU} is not installed: run `make setup`")
    out = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    version = tuple(int(part) for part in out.split("version ")[-1].split()[0].split(".")[:3] if part.isdigit())
    if version < MIN_QEMU:
        raise InfraError(f"QEMU is {'.'.join(map(str, version))}, at least 9.1 is needed: run `make setup`")
    return version


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
        memo.parent.mkdir(parents=True, exist_ok=True)
        memo.write_text(json.dumps(known))
    return "kvm" if known["accel"] == "kvm" else "tcg"


def _boots_under_kvm(machine: Machine) -> bool:
    from verifier_vm.vm import run  # vm uses this module's command line

    try:
        run(GuestJob({}, ()), replace(machine, accel="kvm"), deadline_s=KVM_PROBE_S, boots=1)
    except SchedcpError:
        return False
    return True
