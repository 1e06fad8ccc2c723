# SPDX-License-Identifier: Apache-2.0
"""The guest as this host can boot it: kernel, image with every workload and probe, accelerator, clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import bpf
from benchmarks.machines import FLAT
from benchmarks.scaled_machine import Scaled, at
from benchmarks.workloads import Workload
from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write
from policy_lake.machine_model import Costs, MachineModel
from policy_lake.show import logger
from policy_lake.topology import Topology
from tasks.host.default_machine import default_machine
from tasks.host.in_use import claim
from tasks.host.machine import find_machine
from tasks.host.programs import workload_programs
from tasks.host.root import with_root
from tasks.host.settings import Settings
from verifier_vm.machine.accel import usable_accel
from verifier_vm.machine.clock import usable_clock
from verifier_vm.machine.image import GUEST_DIR, LIBBPF, LIBELF_REST, Program, build_image
from verifier_vm.machine.kernel import Kernel, installed_kernel
from verifier_vm.machine.kernel_config import guest_files
from verifier_vm.machine.model import Model, TaskLayout, read_task_layout
from verifier_vm.machine.qemu import Machine

_PROBES = Path(bpf.__file__).parent / "probes"
_PROBE_HEADERS = (*sorted(_PROBES.glob("*.h")), _PROBES.parent / "primitives" / "jobkey.h")
PROBE = "observe"
EMULATED_BUILD = (
    "without KVM every instruction of a build is emulated, half an hour or more for each run: tier standard replays one"
)
NO_MACHINE = "none (--machine flat)"
MANY_CPUS = 8  # of a guest: with more of them, taking turns, its boot alone is a wait that should be announced
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a guest is to be: its topology, its clock, and whether it boots (`cold`) or starts from a snapshot.

    `root` names what else its file system holds (a workload's field), with at least `memory_mib` of memory for that.
    `costs` are those of the machine that its CPUs are taken for, which `machine` tells in words (empty: none).
    `said` is how it came to that where nobody asked for a machine: words alone, which no result hangs on.
    `whole` is the machine that was asked for, found where the request was made: guests of other topologies take their
    part of it, for a name or a path means something else on another host.
    """

    topology: Topology
    clock: Literal["auto", "virtual", "wall"] = "auto"
    cold: bool = False
    root: str = ""
    memory_mib: int = 0
    machine: str = ""
    costs: Costs | None = None
    said: str = field(default="", compare=False)
    whole: MachineModel | None = field(default=None, compare=False)

    @property
    def where(self) -> str:
        """Its topology and what its CPUs are taken for: scores are compared where these are equal."""
        return f"{self.topology}; {self.machine}" if self.machine else str(self.topology)

    def bearing(self, wanted: Workload) -> Shape:
        """The same with what a workload needs in it."""
        return replace(self, root=wanted.root, memory_mib=wanted.memory_mib)


@dataclass(frozen=True, slots=True)
class Guest:
    """A machine to boot, the kernel it boots, and what the user should know of it (empty: nothing)."""

    machine: Machine
    kernel: Kernel
    warning: str = ""

    @property
    def host_cpus(self) -> int:
        """The host CPUs that it keeps busy: with a virtual clock its CPUs take turns on one."""
        return 1 if self.machine.clock else self.machine.cpus

    def announce(self) -> None:
        """Say once in a process, before it starts, that a guest of many CPUs is slow here."""
        if self.machine.clock and self.machine.cpus > MANY_CPUS:
            _say_slow(self.machine.cpus)


@lru_cache
def _say_slow(cpus: int) -> None:
    log.warning("a guest of %d CPUs takes turns on one CPU of the host (virtual clock): it may take minutes", cpus)


def shape_of(settings: Settings, cpus: int = 2) -> Shape:
    """The guest that the settings ask for, with `cpus` CPUs unless they say how many. InputError if it cannot be."""
    asked = settings.llcs, settings.smt, settings.nodes
    if settings.machine in ("", FLAT):
        said = NO_MACHINE if settings.machine else ""
        return Shape(Topology(settings.cpus or cpus, *asked), settings.clock, settings.cold, said=said)
    if asked != (1, 1, 1):
        raise InputError(
            "a machine (--machine, SCHEDCP_MACHINE) says how its CPUs lie: no llcs, smt or nodes beside it"
        )
    whole = find_machine(settings.machine, settings)
    scaled = at(whole, settings.cpus or cpus)
    if settings.cpus and scaled.model.topology.cpus != settings.cpus:
        log.warning("--cpus %d: the guest has %s", settings.cpus, scaled.words)
    return _part(Shape(scaled.model.topology, settings.clock, settings.cold, whole=whole), scaled)


def shape_on(shape: Shape, topology: Topology) -> Shape:
    """A guest of that topology beside one of `shape`: its clock, and the costs of the machine that was asked for."""
    bare = Shape(topology, shape.clock, shape.cold, whole=shape.whole)
    return _part(bare, at(shape.whole, topology.cpus)) if shape.whole else bare


def _part(shape: Shape, scaled: Scaled) -> Shape:
    words = f"{scaled.model.name}, {scaled.words}" if scaled.words else scaled.model.name
    return replace(shape, machine=words, costs=scaled.model.costs)


def check_topologies(settings: Settings) -> None:
    """InputError for a topology to try that the machine which was asked for has not with as many CPUs."""
    if settings.machine in ("", FLAT):
        return
    model = find_machine(settings.machine, settings)
    for asked in settings.more_topologies:
        has = at(model, asked.cpus).model.topology
        if asked != has:
            raise InputError(
                f"--topology: {asked} contradicts --machine {model.name}, where so many are {has}: leave one out"
            )


def shape_for(settings: Settings, wanted: Workload) -> Shape:
    """The guest for a workload: what the settings ask for, or else as many of this host's CPUs as the workload wants.

    InputError if it cannot be.
    """
    if settings.machine or settings.model_fields_set & {"llcs", "smt", "nodes"}:
        return shape_of(settings, wanted.cpus).bearing(wanted)
    default = default_machine(settings, settings.cpus or wanted.cpus)
    if settings.cpus and default.topology.cpus != settings.cpus:
        log.warning("--cpus %d: the guest has %s", settings.cpus, default.topology)
    shape = Shape(default.topology, settings.clock, settings.cold, said=default.said).bearing(wanted)
    if default.costs is None:
        return shape
    if why := _no_costs(settings, shape):
        return replace(shape, said=default.without_costs(why).said)
    return replace(shape, machine=default.machine, costs=default.costs)


def _no_costs(settings: Settings, shape: Shape) -> str:
    """Why this host can charge no costs in that guest; empty where it can."""
    if shape.cold or shape.root:
        return "this guest boots, and no boot is charged"
    return "" if prepare_guest(settings, shape).machine.clock else "the clock is the host's own"


def prepare_guest(settings: Settings, shape: Shape | None = None) -> Guest:
    """The guest of that shape; what it is made of is built once and kept in the cache.

    The clock is virtual under TCG and the host's under KVM, unless the shape says otherwise. Where this QEMU has no
    virtual clock, the guest comes with the host's and a warning. InfraError, with the command that mends it, when the
    kernel or a compiler is missing, or a directory cannot be used; InputError for a virtual clock under KVM.
    """
    for directory in (settings.cache_dir, settings.data_dir):
        claim(directory)
    shape = shape or shape_of(settings)
    memory_mib = max(settings.memory_mib, shape.memory_mib)
    return _prepare(settings.cache_dir, settings.kernel, settings.accel, memory_mib, shape)


@lru_cache(maxsize=16)
def _prepare(cache_dir: Path, kernel: Path | None, accel: str, memory_mib: int, shape: Shape) -> Guest:
    installed = installed_kernel(cache_dir, kernel)
    files = {f"lib/{PROBE}.bpf.o": _probe_object(installed, cache_dir)}
    image = build_image(_programs(), {**files, **guest_files(installed.release, installed.config)}, cache_dir)
    machine = Machine(installed.image, image, shape.topology, memory_mib)
    if accel == "kvm" and shape.clock == "virtual":
        raise InputError("--clock virtual: there is none under KVM; set SCHEDCP_ACCEL=tcg, or take --clock wall")
    if accel == "kvm" or (accel == "auto" and shape.clock != "virtual"):
        machine = replace(machine, accel="kvm" if accel == "kvm" else usable_accel(machine, cache_dir))
    if shape.root:
        machine = replace(machine, initrd=with_root(image, shape.root, cache_dir))
    slow = EMULATED_BUILD if shape.root and machine.accel == "tcg" else ""
    if slow:
        log.warning("%s", slow)
    if machine.accel == "kvm" or shape.clock == "wall":
        wall = "leave out --clock wall" if shape.clock == "wall" else "set SCHEDCP_ACCEL=tcg"
        _refuse_costs(shape, f"times are the host's own here: {wall}, or --machine")
        return Guest(machine, installed, slow)
    try:
        machine = replace(machine, clock=usable_clock(cache_dir))
    except InfraError as error:
        _refuse_costs(shape, str(error))
        warning = f"{error}; times are taken by the wall clock"
        log.warning("%s", warning)
        return Guest(machine, installed, warning)
    # A file system of hundreds of MiB would be most of a snapshot, and is for guests that need none.
    keeps = not shape.cold and not shape.root
    if shape.costs:
        if not keeps:
            cold = "leave out --cold" if shape.cold else f"take another --size: this one has {shape.root} in the guest"
            _refuse_costs(shape, f"no boot is charged, and this guest boots: {cold}, or leave out --machine")
        machine = replace(machine, model=Model(shape.costs, task_layout(installed, cache_dir)))
    return Guest(replace(machine, snapshots=cache_dir / "snapshots" if keeps else None), installed, slow)


def _refuse_costs(shape: Shape, why: str) -> None:
    if shape.costs:
        raise InputError(
            f"--machine {shape.machine.partition(',')[0]}: what it costs is charged in virtual time: {why}"
        )


def _programs() -> dict[str, Program]:
    programs = workload_programs()
    own = tuple(sorted(_PROBES.glob("*.h")))
    sources = (_PROBES / f"{PROBE}.c", GUEST_DIR / f"{LIBELF_REST}.c")
    return {**programs, PROBE: Program(sources, libraries=LIBBPF, headers=own)}


def task_layout(kernel: Kernel, cache_dir: Path) -> TaskLayout:
    """Where the clock finds whose task comes, in that kernel."""
    return read_task_layout(_probe_object(kernel, cache_dir))


def _probe_object(kernel: Kernel, cache_dir: Path) -> bytes:
    from bpf.build import compile_policy

    source = (_PROBES / f"{PROBE}.bpf.c").read_text(encoding="utf-8")
    parts = [source, kernel.sha256, *(path.read_text(encoding="utf-8") for path in _PROBE_HEADERS)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    kept = cache_dir / "probes" / f"{digest[:32]}.bpf.o"
    if not kept.is_file():
        made = compile_policy(source, name=PROBE, vmlinux_dir=kernel.headers, source_dir=_PROBES)
        atomic_write(kept, made.data)
    return kept.read_bytes()
