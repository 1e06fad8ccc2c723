# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for a host: a long-lived guest with a disk, a network card and a console, beside `qemu.py`'s.

Every file of a host's lies in its own directory, which is QEMU's working directory: so the names of its sockets are
short however long that directory's is, and no name has a comma in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from verifier_vm.machine.qemu import QEMU, VIRTUAL_ARGUMENTS, Accel, preloading

DISK, GIVEN = "disk.raw", "given.tar"
CONSOLE, CONSOLE_LOG, CONTROL, READY = "console.sock", "console.log", "control.sock", "ready"
LOOPBACK = "127.0.0.1"
AGENT_PORT = 7650  # of the agent, within the host
KERNEL_ARGUMENTS = (
    "console=ttyS0 loglevel=4 panic=-1 nokaslr mitigations=off cryptomgr.notests rdinit=/init systemd.show_status=0"
)


@dataclass(frozen=True, slots=True)
class HostMachine:
    """What a host runs on; `port` is that of this machine's loopback by which its agent is reached.

    `clock` is the virtual clock's object, None for this machine's own time.
    """

    kernel: Path
    initrd: Path
    cpus: int
    memory_mib: int
    port: int
    accel: Accel = "tcg"
    clock: Path | None = None


def host_command_line(machine: HostMachine, *, plugin: str = "", clock_fd: int = -1) -> list[str]:
    """The command, to be run in the host's directory; `plugin` and `clock_fd` as in `qemu.command_line`.

    The network has one way, from this machine's loopback to the agent's port: `restrict` lets the host reach nothing.
    Ctrl-Alt-Del, by the control socket, is how it is told to power off: systemd reboots, and -no-reboot ends QEMU.
    """
    append, board, clock = KERNEL_ARGUMENTS, "q35", []
    accel = "kvm" if machine.accel == "kvm" else f"tcg,thread={'single' if machine.clock else 'multi'}"
    before: list[str] = []
    if machine.clock:
        append, board = f"{append} {VIRTUAL_ARGUMENTS}", "q35,hpet=off"
        clock = ["-name", "debug-threads=on", "-plugin", plugin, "-rtc", "clock=vm"]
        before = preloading(clock_fd)
    forward = f"tcp:{LOOPBACK}:{machine.port}-:{AGENT_PORT}"
    return [
        *before, QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-M", board, "-accel", accel, "-cpu", "host" if machine.accel == "kvm" else "max",
        "-smp", str(machine.cpus), "-m", str(machine.memory_mib),
        "-kernel", str(machine.kernel), "-initrd", str(machine.initrd), "-append", append,
        "-chardev", f"socket,id=console,path={CONSOLE},server=on,wait=off,logfile={CONSOLE_LOG},logappend=on",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=control,path={CONTROL},server=on,wait=off", "-mon", "chardev=control,mode=control",
        "-device", "virtio-serial-pci", "-chardev", f"file,id=ready,path={READY}",
        "-device", "virtserialport,chardev=ready,name=schedcp.ready,nr=1",
        # A full disk of this machine's is the host's I/O error: QEMU's default, to stop the host, looks like a hang.
        "-drive", f"if=none,id=disk,file={DISK},format=raw,cache=writeback,werror=report,rerror=report",
        "-device", "virtio-blk-pci,drive=disk",
        "-drive", f"if=none,id=given,file={GIVEN},format=raw,readonly=on", "-device", "virtio-blk-pci,drive=given",
        "-netdev", f"user,id=net,restrict=on,hostfwd={forward}", "-device", "virtio-net-pci,netdev=net,romfile=",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=allow",
        *clock,
    ]  # fmt: skip
