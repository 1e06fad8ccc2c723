# SPDX-License-Identifier: Apache-2.0
"""BPF instructions as the kernel's instruction-set document has them: eight bytes each, a 64-bit load takes two."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from verifier_vm.object.errors import ObjectError

LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
LDDW = 0x18
CALL, EXIT, JA = 0x80, 0x90, 0x00
BY_REGISTER = 0x08
ATOMIC = 0xC0  # mode of STX
SIGNED = 0x80  # mode of LDX: sign-extending
SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
RAW = struct.Struct("<BBhi")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a relocation makes of an instruction: a map, a byte of a data section, an extern, or a function's entry."""

    kind: Literal["map", "data", "extern", "function", "helper"]
    name: str
    offset: int = 0


@dataclass(slots=True)
class Instruction:
    """One instruction; `imm` is signed, or the 64 bits of an LDDW; `field` is the member that CO-RE says it means."""

    code: int
    dst: int
    src: int
    off: int
    imm: int
    reference: Reference | None = None
    field: str = ""

    @property
    def kind(self) -> int:
        """Its class, LD to ALU64."""
        return self.code & 7

    @property
    def size(self) -> int:
        """Bytes that a load or store moves."""
        return SIZES[self.code & 0x18]


def decode(data: bytes, section: str) -> list[Instruction | None]:
    """The instructions of a section, by slot; None for the second half of an LDDW. ObjectError for nonsense."""
    if len(data) % 8:
        raise ObjectError(f"section '{section}' is no whole number of instructions", "code")
    slots: list[Instruction | None] = []
    pending: Instruction | None = None
    for code, registers, off, imm in RAW.iter_unpack(data):
        if pending is not None:
            if code:
                raise ObjectError(f"'{section}' has a broken 64-bit load at instruction {len(slots)}", "code")
            pending.imm = pending.imm & 0xFFFFFFFF | (imm & 0xFFFFFFFF) << 32
            pending = None
            slots.append(None)
            continue
        dst, src = registers & 15, registers >> 4
        if dst > 10 or (src > 10 and code & 7 != JMP):
            raise ObjectError(f"'{section}' names a register that does not exist at instruction {len(slots)}", "code")
        instruction = Instruction(code, dst, src, off, imm)
        if code == LDDW:
            pending = instruction
        slots.append(instruction)
    if pending is not None:
        raise ObjectError(f"'{section}' ends in the middle of a 64-bit load", "code")
    return slots
