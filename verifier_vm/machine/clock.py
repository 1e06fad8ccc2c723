# SPDX-License-Identifier: Apache-2.0
"""The virtual clock from our side: the object that is loaded into QEMU, whether it works here, and what it counted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import struct
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import atomic_write, scratch
from policy_lake.guest import ClockCounts
from policy_lake.machine_model import Paid
from policy_lake.secrets import child_environment
from verifier_vm.machine.executed import BlockTable
from verifier_vm.machine.model import ModelFile
from verifier_vm.machine.qemu import QEMU, escaped, preloading, qemu_version

SOURCES = Path(__file__).parents[1] / "vclock"
CFLAGS = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
PROBE_S, PROBES = 20.0, 2  # one that says nothing for so long is asked again: the host may be busy
# struct stats in vclock.h
_STATS, _PAID = struct.Struct("=9Q128s"), struct.Struct("=15Q")
_AWAITS_HOST = 8  # its place in the former
_MAGIC = 0x31636B6C63765343


@dataclass(frozen=True, slots=True)
class Rates:
    """What guest time is made of: picoseconds for an instruction and for a PAUSE, and the quantum in nanoseconds.

    An instruction takes a nanosecond, about what a kernel's code takes on a machine of today. A PAUSE takes a
    microsecond, so that a spinning vCPU costs little. vCPUs are never further apart than the quantum, which bounds the
    error of a wake-up.
    """

    insn_ps: int = 1000
    pause_ps: int = 1_000_000
    quantum_ns: int = 20_000


class Stats:
    """The page that the clock writes and we read; `fd` is inherited by QEMU."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("schedcp-clock", 0)
        os.ftruncate(self.fd, mmap.PAGESIZE)
        self._page = mmap.mmap(self.fd, mmap.PAGESIZE, prot=mmap.PROT_READ)

    def fileno(self) -> int:
        """The page's descriptor, for QEMU to inherit."""
        return self.fd

    def close(self) -> None:
        """Let go of the page; QEMU keeps its own mapping."""
        self._page.close()
        os.close(self.fd)

    def awaits_host(self) -> bool:
        """Whether the guest is idle within a wait for the host, so that nothing in it happens by itself."""
        return bool(_STATS.unpack_from(self._page)[_AWAITS_HOST])

    def read(self) -> ClockCounts | str:
        """The counts so far, or why the clock did not start."""
        *numbers, error = _STATS.unpack_from(self._page)
        magic, fallbacks, virtual_ns, hash_, slots, switches, switch_hash, moves, _ = numbers
        if magic != _MAGIC:
            return error.split(b"\0")[0].decode(errors="replace") or "QEMU did not load it"
        paid = Paid(*_PAID.unpack_from(self._page, _STATS.size))
        return ClockCounts(
            fallbacks, virtual_ns / 1e9, f"{hash_:016x}", slots, switches, f"{switch_hash:016x}", moves, paid
        )


def clock_object(cache_dir: Path) -> Path:
    """The clock's shared object, compiled unless this version is there. InfraError in the compiler's words."""
    sources = sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h")))
    digest = hashlib.sha256(b"\0".join([" ".join(CFLAGS).encode(), *(path.read_bytes() for path in sources)]))
    path = cache_dir / "clock" / f"vclock-{digest.hexdigest()[:32]}.so"
    if path.is_file():
        return path
    with scratch("clock") as build:
        out = Path(build) / path.name
        objects = [str(source) for source in sources if source.suffix == ".c"]
        command = ["gcc", *CFLAGS, "-o", str(out), *objects, "-ldl"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=120, check=False, env=child_environment()
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InfraError(f"cannot compile the virtual clock: {error}") from error
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), "gcc failed")
            raise InfraError(f"cannot compile the virtual clock: {first}")
        atomic_write(path, out.read_bytes())
    return path


@lru_cache(maxsize=4)
def usable_clock(cache_dir: Path) -> Path:
    """The clock's object if this QEMU can run it; InfraError that says what is missing.

    Decided by starting QEMU with it, without a guest: a QEMU that has no plugins, or lacks a function, tells so. That
    it can is kept for each QEMU and clock: else a host that is busy for a moment would part the processes of one run,
    some with a virtual clock and some without.
    """
    version = qemu_version()  # says so when it is too old
    path = clock_object(cache_dir)
    memo, key = path.with_name("usable.json"), [QEMU, list(version), path.name]
    with contextlib.suppress(OSError, ValueError):
        if json.loads(memo.read_text()) == key:
            return path
    for attempt in range(PROBES):
        try:
            _probe(path)
            break
        except subprocess.TimeoutExpired as error:
            if attempt == PROBES - 1:
                raise InfraError("no virtual clock with this QEMU: it hangs at the start") from error
    with contextlib.suppress(OSError):  # a cache that is only read
        atomic_write(memo, json.dumps(key).encode())
    return path


def _probe(path: Path) -> None:
    """Start QEMU with the clock; InfraError if that cannot be, TimeoutExpired if nothing is said of it."""
    stats = Stats()
    try:
        with path.open("rb") as library:
            command = [
                *preloading(library.fileno()), QEMU, "-nodefaults", "-no-user-config", "-display", "none",
                "-M", "none", "-S", "-accel", "tcg,thread=single", "-name", "debug-threads=on",
                "-plugin", plugin_option(path, stats), "-monitor", "stdio",
            ]  # fmt: skip
            done = subprocess.run(
                command, input="quit\n", capture_output=True, text=True, timeout=PROBE_S,
                pass_fds=(stats.fd, library.fileno()), check=False, env=child_environment(),
            )  # fmt: skip
        counts = stats.read()
        if isinstance(counts, str) or done.returncode:
            complaints = done.stderr.strip().splitlines()
            why = counts if isinstance(counts, str) else f"QEMU ended with {done.returncode}"
            raise InfraError(f"no virtual clock with this QEMU: {why}" + (f" ({complaints[-1]})" if complaints else ""))
    finally:
        stats.close()


def plugin_option(
    path: Path,
    stats: Stats,
    rates: Rates | None = None,
    *,
    switch_address: int = 0,
    blocks: BlockTable | None = None,
    model: ModelFile | None = None,
) -> str:
    """The value of QEMU's `-plugin`; `switch_address` is that of the guest kernel's __switch_to_asm, or 0.

    What runs of BPF programs is marked in `blocks`; what scheduling costs is in `model`.
    """
    rates = rates or Rates()
    option = f"file={escaped(path)},stats={stats.fd},insn_ps={rates.insn_ps}"
    option += f",pause_ps={rates.pause_ps},quantum_ns={rates.quantum_ns}"
    option += f",switch={switch_address}" if switch_address else ""
    option += f",blocks={blocks.fd}" if blocks else ""
    return option + (f",machine={model.fd}" if model else "")
