# SPDX-License-Identifier: Apache-2.0
"""What this host's kernel says: of sched_ext, its types, its CPUs. Paths are given: tests have their own."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import read_outside
from policy_lake.host_cpus import read_host_cpus
from policy_lake.topology import HostCpus

SCHED_EXT = "kernel/sched_ext"
BTF = "kernel/btf/vmlinux"
BTF_BYTES = 64 << 20
SMALL = 64 << 10  # what any file of sched_ext's may hold


@dataclass(frozen=True, slots=True)
class Scx:
    """One reading of /sys/kernel/sched_ext. `state` is empty where the kernel has no sched_ext, `ops` where no policy
    is attached; `switch_all`: all tasks are its, not only those of the class SCHED_EXT.
    """

    state: str = ""
    ops: str = ""
    enable_seq: int = 0
    hotplug_seq: int = 0
    rejected: int = 0
    switch_all: bool = False

    @property
    def on(self) -> bool:
        """Whether a policy is attached, or on its way to or from it."""
        return self.state not in ("", "disabled")

    @property
    def enabled(self) -> bool:
        """Whether a policy schedules."""
        return self.state == "enabled"


@dataclass(frozen=True, slots=True)
class Host:
    """What a token is compared with: kernel release, digest of its types, CPUs."""

    kernel: str
    btf_sha256: str
    cpus: HostCpus


@dataclass(slots=True)
class Kernel:
    """Reads below `sys` and `proc`; `release` is the running kernel's unless it is given."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    release: str = field(default_factory=platform.release)
    _host: Host | None = None

    def scx(self) -> Scx:
        """The state now. A policy that goes meanwhile gives a mixture: `steady_scx` does not."""
        return Scx(
            self._line("state"), self._line("root/ops"), self._number("enable_seq"), self._number("hotplug_seq"),
            self._number("nr_rejected"), self._line("switch_all") == "1",
        )  # fmt: skip

    def steady_scx(self) -> Scx:
        """The state as two readings in a row agree on it, or the last of some."""
        before = self.scx()
        for _ in range(4):
            after = self.scx()
            if after == before:
                break
            before = after
        return before

    def events(self) -> dict[str, int]:
        """sched_ext's event counters by their names; empty where no policy is attached."""
        found: dict[str, int] = {}
        for line in self._text("root/events").splitlines()[:256]:
            name, _, number = line.partition(" ")
            if number.strip().isascii() and number.strip().isdigit() and len(number) < 24:
                found[name] = int(number)
        return found

    def host(self) -> Host:
        """Kernel, types and CPUs; InfraError where the kernel does not tell. The types are digested once."""
        cpus = read_host_cpus(self.sys)  # each time: CPUs come and go
        if self._host is None:
            try:
                types = read_outside(self.sys / BTF, BTF_BYTES)
            except InputError as error:
                raise InfraError(f"this kernel tells of no types: {error}") from None
            self._host = Host(self.release, hashlib.sha256(types).hexdigest(), cpus)
        return Host(self.release, self._host.btf_sha256, cpus)

    def boot_id(self) -> str:
        """Which boot this is; empty where the kernel does not say."""
        try:
            return (self.proc / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""

    def start_time(self, pid: int) -> int:
        """When a process began, in ticks since boot, by which a later one of the same number differs; 0: no such."""
        try:
            stat = (self.proc / str(pid) / "stat").read_bytes()
            return int(stat[stat.rindex(b")") + 2 :].split()[19])
        except (OSError, ValueError, IndexError):
            return 0

    def _text(self, name: str) -> str:
        try:
            fd = os.open(self.sys / SCHED_EXT / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            return os.read(fd, SMALL).decode(errors="replace")
        except OSError:  # the policy went between opening and reading
            return ""
        finally:
            os.close(fd)

    def _line(self, name: str) -> str:
        return self._text(name).partition("\n")[0].strip()

    def _number(self, name: str) -> int:
        text = self._line(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 24 else 0
