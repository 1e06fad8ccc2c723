# SPDX-License-Identifier: Apache-2.0
"""What a probe needs of the host, the least that will do, and the command that grants what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy_lake.errors import InfraError
from tasks.observing import kernel_maps
from tasks.traces.record import CONTAINED, HOST_PIDS

PROC = Path("/proc")
TRACING = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39  # linux/capability.h
TRACEPOINT = "events/sched/sched_switch/id"
WITH_CAPABILITIES = (
    "sudo setpriv --reuid=$(id -u) --regid=$(id -g) --init-groups --inh-caps=+bpf,+perfmon "
    "--ambient-caps=+bpf,+perfmon schedcp observe …"
)
READ_TRACEPOINTS = "sudo mount -o remount,gid=$(id -g) /sys/kernel/tracing"
COUNT_RUN_TIME = "sudo sysctl kernel.bpf_stats_enabled=1"


class NeedError(InfraError):
    """A probe cannot be put on; `mend` is the command that lets it."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(f"{why}: run `{mend}`" if mend else why)
        self.why, self.mend = why, mend


def check_needs(capabilities: int | None = None, *, formats: bool = True) -> None:
    """NeedError for the first thing that a probe would lack here; `capabilities` is the mask, else this process's.

    `formats`: those of the tracepoints are read, too, which BCC does and libbpf with BTF does not.
    """
    if Path("/proc/self/ns/pid").readlink().name != HOST_PIDS:
        raise NeedError(f"{CONTAINED}, and probes tell those of the host", "")
    held = _effective() if capabilities is None else capabilities
    if not held >> CAP_SYS_ADMIN & 1 and not (held >> CAP_BPF & 1 and held >> CAP_PERFMON & 1):
        raise NeedError("the capabilities CAP_BPF and CAP_PERFMON are missing", WITH_CAPABILITIES)
    if formats and not any(os.access(folder / TRACEPOINT, os.R_OK) for folder in TRACING):
        raise NeedError(f"{TRACING[0] / TRACEPOINT} cannot be read", READ_TRACEPOINTS)


@contextmanager
def stats_counted() -> Iterator[None]:
    """Meanwhile the kernel counts what BPF programs take; NeedError where it does not, since cost would be unknown."""
    try:
        fd = kernel_maps.count_run_time()
    except OSError:
        if STATS.exists() and STATS.read_text().strip() == "1":
            yield
            return
        why = "what a probe costs is counted only for CAP_SYS_ADMIN or where root turned it on"
        raise NeedError(why, COUNT_RUN_TIME) from None
    try:
        yield
    finally:
        os.close(fd)


def _effective() -> int:
    words = dict(line.split(":", 1) for line in (PROC / "self/status").read_text().splitlines() if ":" in line)
    return int(words["CapEff"], 16)
