# SPDX-License-Identifier: Apache-2.0
"""What a guest runs on: its machine, and QEMU's command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from policy_lake.errors import SETUP, InfraError
from policy_lake.model import Clock
from policy_lake.secrets import child_environment
from policy_lake.topology import Topology
from verifier_vm.machine.model import Model

Accel = Literal["kvm", "tcg"]
# What the guest's kernel sees of any machine under TCG: QEMU 10 has an option for which CPUs share a cache, and none
# for how large it is or how fast a CPU is (docs/machines.md tells what was tried).
SEEN_L2_KIB, SEEN_LLC_KIB = 512, 16384
QEMU = "qemu-system-x86_64"
MIN_QEMU = (9, 1)
# loglevel=5 puts warnings on the console, which is evidence; a panic ends QEMU at once (-no-reboot, panic=-1). The
# kernel's self-tests of its cryptography would run beside the first workload for a second and a half.
KERNEL_ARGUMENTS = "console=ttyS0 loglevel=5 panic=-1 nokaslr mitigations=off cryptomgr.notests rdinit=/init"
# The virtual clock gives the guest a TSC of 1 GHz; without this it would calibrate one, and be off by some 0.01 %.
# The kernel hands what it does not know to init as its environment: there our programs see that bursts are cheap.
VIRTUAL_ARGUMENTS = "tsc_early_khz=1000000 tsc=reliable idle=halt SCHEDCP_CLOCK=virtual"


@dataclass(frozen=True, slots=True)
class Machine:
    """A guest to boot: kernel and initramfs by path, CPUs, memory in MiB, accelerator.

    `clock` is the virtual clock's object (verifier_vm/machine/clock.py), None for the host's clock. `snapshots` is the
    directory where a booted guest is kept, to start others from; None boots each. `model` says what scheduling costs
    there (None: nothing but instructions takes time); what is done before a snapshot costs nothing.
    """

    kernel: Path
    initrd: Path
    topology: Topology = field(default_factory=Topology)
    memory_mib: int = 512
    accel: Accel = "tcg"
    clock: Path | None = None
    snapshots: Path | None = None
    model: Model | None = None

    @property
    def cpus(self) -> int:
        return self.topology.cpus

    @property
    def clock_name(self) -> Clock:
        return "virtual" if self.clock else "wall"

    @property
    def user_ps(self) -> int:
        """Picoseconds that an instruction of a program takes, by the model; 0 without one."""
        return self.model.costs.user_ps if self.model else 0

    @property
    def node_mib(self) -> int:
        """Memory of one NUMA node, in MiB."""
        return self.memory_mib // self.topology.nodes


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a guest's memory lies: one file a node in `directory`, changed (`shared`) or only read; None: nowhere."""

    directory: Path | None = None
    shared: bool = False

    def arguments(self, machine: Machine) -> tuple[list[str], tuple[str, ...]]:
        """QEMU's options that make the backends, and the backends' names."""
        names = tuple(f"ram{node}" for node in range(machine.topology.nodes))
        size = f"size={machine.node_mib}M"
        if self.directory is None:
            objects = [f"memory-backend-ram,id={name},{size}" for name in names]
        else:
            # readonly opens the file only for reading, rom=off lets a guest write to its own copy of it.
            mode = "share=on" if self.shared else "share=off,readonly=on,rom=off"
            mode = f"{size},{mode}"
            places = [escaped(self.directory / name) for name in names]
            objects = [
                f"memory-backend-file,id={name},mem-path={place},{mode}"
                for name, place in zip(names, places, strict=True)
            ]
        return [part for memory in objects for part in ("-object", memory)], names


def escaped(path: Path) -> str:
    """A path as a value among QEMU's options, where a comma begins the next one."""
    return str(path).replace(",", ",,")


def unless_orphaned(line: Sequence[str]) -> list[str]:
    """The command, not begun where this process has ended before the wish to die with it was heard."""
    asked = 'test "$PPID" = "$0" && exec "$@"'
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", asked, str(os.getpid()), *line]


def preloading(fd: int) -> list[str]:
    """The words before a command that has the open library `fd` loaded first.

    Not by its path: the dynamic loader takes blanks and colons for the ends of names, and goes on without them.
    """
    return ["env", f"LD_PRELOAD=/proc/self/fd/{fd}"]


def command_line(
    machine: Machine,
    port_fd: int,
    *,
    plugin: str = "",
    clock_fd: int = -1,
    memory: Memory | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """QEMU's command line: console on its stdout, the job's port on the socket `port_fd`, no disk, no network.

    `plugin` is the virtual clock's option where `machine` has one, and `clock_fd` its object, open.
    """
    backends, ram = (memory or Memory()).arguments(machine)
    append, board, clock = KERNEL_ARGUMENTS, "q35", []
    if machine.clock:
        append, board = f"{KERNEL_ARGUMENTS} {VIRTUAL_ARGUMENTS}", "q35,hpet=off"
        # One thread for all vCPUs, found by its name; nothing of the host's time or randomness reaches the guest.
        clock = ["-name", "debug-threads=on", "-plugin", plugin, "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"]
    return [
        # Dies with the thread that started it, however that ends: nothing to clean up after a SIGKILL.
        "setpriv", "--pdeathsig", "KILL", *(preloading(clock_fd) if machine.clock else []),
        QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-M", board, "-accel", _accel(machine), "-cpu", "host" if machine.accel == "kvm" else "max",
        *backends, *topology_arguments(machine.topology, machine.node_mib * machine.topology.nodes, ram),
        "-kernel", str(machine.kernel), "-initrd", str(machine.initrd), "-append", append,
        "-serial", "stdio",
        "-chardev", f"socket,id=job,fd={port_fd}",
        "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=job,name=schedcp.job,nr=1",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=allow",
        *clock, *more,
    ]  # fmt: skip


def _accel(machine: Machine) -> str:
    if machine.accel == "kvm":
        return "kvm"
    return f"tcg,thread={'single' if machine.clock else 'multi'}"


def qemu_version() -> tuple[int, ...]:
    """QEMU's version; InfraError with the mending command when it is missing or too old."""
    found = shutil.which(QEMU)
    if not found:
        raise InfraError(f"{QEMU} is not installed: run `{SETUP}`")
    status = Path(found).stat()
    version = _version_of(found, status.st_mtime_ns, status.st_size)
    if version < MIN_QEMU:
        raise InfraError(f"QEMU is {'.'.join(map(str, version))}, at least 9.1 is needed: run `{SETUP}`")
    return version


@lru_cache(maxsize=4)
def _version_of(path: str, mtime_ns: int, size: int) -> tuple[int, ...]:
    """Asked once of each binary: a run's name is made of it, and to ask takes a tenth of what a run takes."""
    try:
        out = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False, env=child_environment()
        ).stdout
        return tuple(int(part) for part in out.split("version ")[-1].split()[0].split(".")[:3] if part.isdigit())
    except (OSError, subprocess.TimeoutExpired, IndexError) as error:
        raise InfraError(f"{QEMU} does not tell its version ({type(error).__name__}): run `{SETUP}`") from error


def topology_arguments(topology: Topology, memory_mib: int, ram: Sequence[str]) -> list[str]:
    """QEMU's options for the CPUs; `ram` names one memory backend a node, all of them of `memory_mib` together.

    An LLC is a socket: with `dies` QEMU 10 shows the guest one L3 for all of them.
    """
    cores = topology.cpus // (topology.llcs * topology.smt)
    smp = f"{topology.cpus},sockets={topology.llcs},dies=1,cores={cores},threads={topology.smt}"
    numa: list[str] = []
    each = topology.cpus // topology.nodes
    for node, backend in enumerate(ram):
        numa += ["-numa", f"node,nodeid={node},memdev={backend},cpus={node * each}-{(node + 1) * each - 1}"]
    return ["-smp", smp, "-m", str(memory_mib), *numa]
