# SPDX-License-Identifier: Apache-2.0
"""The guest as this host can boot it: kernel, image with every workload and probe, accelerator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import benchmarks
import bpf
from tasks.settings import Settings
from tasks.whole import write_whole
from verifier_vm.image import Program, build_image
from verifier_vm.kernel import Kernel, installed_kernel
from verifier_vm.qemu import Machine, usable_accel

_WORKLOADS = Path(benchmarks.__file__).parent / "guest"
_PROBES = Path(bpf.__file__).parent / "probes"
PROBE = "observe"


@dataclass(frozen=True, slots=True)
class Guest:
    """A machine to boot, and the kernel it boots."""

    machine: Machine
    kernel: Kernel


def prepare_guest(settings: Settings, *, cpus: int) -> Guest:
    """The guest with `cpus` CPUs; what it is made of is built once and kept in the cache.

    InfraError, with the command that mends it, when the kernel or a compiler is missing.
    """
    return _prepare(settings.cache_dir, settings.kernel, settings.accel, settings.memory_mib, cpus)


@lru_cache(maxsize=4)
def _prepare(cache_dir: Path, kernel: Path | None, accel: str, memory_mib: int, cpus: int) -> Guest:
    found = installed_kernel(cache_dir, kernel)
    image = build_image(_programs(), {f"lib/{PROBE}.bpf.o": _probe_object(found, cache_dir)}, cache_dir)
    machine = Machine(found.image, image, cpus=cpus, memory_mib=memory_mib, accel="kvm" if accel == "kvm" else "tcg")
    if accel == "auto":
        machine = Machine(found.image, image, cpus=cpus, memory_mib=memory_mib, accel=usable_accel(machine, cache_dir))
    return Guest(machine, found)


def _programs() -> dict[str, Program]:
    headers = tuple(sorted(_WORKLOADS.glob("*.h")))
    programs = {
        source.stem: Program((source,), libraries=("pthread", "m"), headers=headers)
        for source in sorted(_WORKLOADS.glob("*.c"))
    }
    own = tuple(sorted(_PROBES.glob("*.h")))
    return {**programs, PROBE: Program((_PROBES / f"{PROBE}.c",), libraries=("bpf", "elf", "z"), headers=own)}


def _probe_object(kernel: Kernel, cache_dir: Path) -> bytes:
    from bpf.build import compile_policy

    source = (_PROBES / f"{PROBE}.bpf.c").read_text(encoding="utf-8")
    parts = [source, kernel.sha256, *(path.read_text(encoding="utf-8") for path in sorted(_PROBES.glob("*.h")))]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    kept = cache_dir / "probes" / f"{digest[:32]}.bpf.o"
    if not kept.is_file():
        made = compile_policy(source, name=PROBE, vmlinux_dir=kernel.headers, source_dir=_PROBES)
        write_whole(kept, made.data)
    return kept.read_bytes()
