# SPDX-License-Identifier: Apache-2.0
"""What every loader of upstream's fills before it loads, so that the walk goes on from the values that a guest has.

The same as verifier_vm/guest/fill.c. What hangs on the machine (how many CPUs) is not known here and stays open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from verifier_vm.object.btf import ARRAY, DATASEC, ENUM, ENUM64, INT, Btf
from verifier_vm.object.kconfig import encode, version_code
from verifier_vm.object.program import Program

MIRROR = re.compile(r"__([A-Z][A-Z0-9_]*)")  # of one of the kernel's enumerators, as <scx/enums.autogen.bpf.h> names it
CPUS = frozenset({
    "nr_cpu_ids", "nr_cpus", "num_cpus", "nr_possible_cpus", "num_possible_cpus", "nr_cpus_possible",
    "nr_online_cpus", "num_online_cpus", "nr_cpus_online", "nr_cpus_onln",
})  # fmt: skip
DUMP_BYTES = 32768
RODATA = ".rodata"


@dataclass(frozen=True, slots=True)
class KernelValues:
    """What a loader takes from the kernel that it loads into: enumerators, its configuration, its release.

    `config` is None where nobody knows it; then externs that ask for it are not known either.
    """

    constants: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, str] | None = None
    release: str = ""


@dataclass(frozen=True, slots=True)
class Constant:
    """A variable of .rodata or .rodata.NAME: `offset` is in bytes within its section."""

    name: str
    section: str
    offset: int
    size: int
    type_id: int


def constants(program: Program) -> Iterator[Constant]:
    """Every constant of the object that a loader can set."""
    btf = program.btf
    for section in program.elf.sections:
        if section.name != RODATA and not section.name.startswith(f"{RODATA}."):
            continue
        places = {symbol.name: symbol.value for symbol in program.elf.symbols if symbol.section == section.index}
        for variable in btf.members(btf.find(section.name, DATASEC)):
            type_id = btf.get(variable.type_id).value
            if variable.name in places:
                yield Constant(variable.name, section.name, places[variable.name], btf.size(type_id), type_id)


def fill(program: Program, kernel: KernelValues) -> None:
    """Fill what a loader fills: `data` and `externs` get values, `open` the places that hang on the machine."""
    known = list(constants(program))
    lengths = {constant.name: constant for constant in known}
    for constant in known:
        _fill_constant(program, constant, kernel)
    for section in program.elf.sections:
        _, _, name = section.name.removeprefix(".").partition(".")
        if name and is_resizable(program.btf, section.name, name):
            program.open.update((section.name, at) for at in range(section.size))
            if (length := lengths.get(f"{name}_len")) is not None and length.size == 4:
                write(program, length, DUMP_BYTES.to_bytes(4, "little"))
    _fill_externs(program, kernel)


def is_resizable(btf: Btf, section: str, name: str) -> bool:
    """Upstream's RESIZABLE_ARRAY: one element, alone in a section that is called after it."""
    members = btf.members(btf.find(section, DATASEC))
    if len(members) != 1 or members[0].name != name:
        return False
    type_id = btf.resolve(btf.get(members[0].type_id).value)
    return btf.get(type_id).kind == ARRAY and btf.array(type_id)[1] == 1


def write(program: Program, constant: Constant, value: bytes) -> None:
    """Set a constant; the rest of an array with an element for each CPU stays open."""
    data = bytearray(program.data.get(constant.section, b""))
    if constant.offset + len(value) > len(data) and constant.section != RODATA:
        data = data.ljust(constant.offset + len(value), b"\0")
    if constant.offset + len(value) <= len(data):
        data[constant.offset : constant.offset + len(value)] = value
        program.data[constant.section] = bytes(data)
        program.open.difference_update((constant.section, constant.offset + at) for at in range(len(value)))


def _fill_constant(program: Program, constant: Constant, kernel: KernelValues) -> None:
    if program.btf.get(program.btf.resolve(constant.type_id)).kind not in (INT, ENUM, ENUM64):
        return
    if constant.size not in (4, 8):
        return
    mirrored = MIRROR.fullmatch(constant.name)
    if mirrored and (value := kernel.constants.get(mirrored[1])) is not None:
        write(program, constant, (value & (1 << 8 * constant.size) - 1).to_bytes(constant.size, "little"))
    compiled = program.data.get(constant.section, b"")[constant.offset : constant.offset + constant.size]
    if constant.name in CPUS and int.from_bytes(compiled, "little") <= 1:
        program.open.update((constant.section, constant.offset + at) for at in range(constant.size))


def _fill_externs(program: Program, kernel: KernelValues) -> None:
    btf = program.btf
    for variable in btf.members(btf.find(".kconfig", DATASEC)):
        type_id = btf.resolve(btf.get(variable.type_id).value)
        size = btf.size(type_id)
        if variable.name == "LINUX_KERNEL_VERSION":
            code = version_code(kernel.release)
            if code is not None and size >= 4:
                program.externs[variable.name] = code.to_bytes(size, "little")
        elif variable.name.startswith("CONFIG_") and kernel.config is not None:
            program.externs[variable.name] = _config(btf, type_id, size, kernel.config.get(variable.name)) or b""


def _config(btf: Btf, type_id: int, size: int, value: str | None) -> bytes | None:
    if value is None:  # libbpf leaves a weak one 0, and refuses the object for any other
        return bytes(size)
    is_char = btf.get(type_id).kind == ARRAY or btf.get(type_id).name == "char"
    return encode(value, size, is_bool=btf.is_bool(type_id), is_char=is_char)


def needs_config(program: Program) -> bool:
    """Does libbpf have to read the kernel's configuration to load it?"""
    btf = program.btf
    return any(variable.name.startswith("CONFIG_") for variable in btf.members(btf.find(".kconfig", DATASEC)))
