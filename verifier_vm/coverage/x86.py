# SPDX-License-Identifier: Apache-2.0
"""Where instructions of x86-64 end and where they go: as much as is needed to follow what the kernel's JIT makes.

Lengths by Intel's manual (volume 2, appendix A). What is not known there is a CodeError, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "branch", "jump", "end"]
_PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0xF0, 0xF2, 0xF3))
_OPERAND_SIZE = 0x66
# Opcodes of one byte by what follows them: a ModRM byte, an immediate of 8 or 32 bits (16 with the prefix 66).
_ALU = [base + low for base in range(0, 0x40, 8) for low in range(4)]
_MODRM = frozenset((*_ALU, 0x63, 0x69, 0x6B, 0x80, 0x81, 0x83, *range(0x84, 0x8E), 0x8F, 0xC0, 0xC1, 0xC6, 0xC7,
                    *range(0xD0, 0xD4), 0xF6, 0xF7, 0xFE, 0xFF))  # fmt: skip
_IMM8 = frozenset((*range(0x04, 0x40, 8), 0x6A, 0x6B, *range(0x70, 0x80), 0x80, 0x83, 0xA8, *range(0xB0, 0xB8),
                   0xC0, 0xC1, 0xC6, 0xEB))  # fmt: skip
_IMM32 = frozenset((*range(0x05, 0x40, 8), 0x68, 0x69, 0x81, 0xA9, *range(0xB8, 0xC0), 0xC7, 0xE8, 0xE9))
_BARE = frozenset((*range(0x50, 0x60), *range(0x90, 0x9A), 0xC3, 0xC9, 0xCC, 0xF4))
# Opcodes of two bytes, after 0f.
_MODRM2 = frozenset((*range(0x10, 0x20), *range(0x40, 0x50), *range(0x90, 0xA0), 0xA3, 0xA4, 0xA5, *range(0xAB, 0xB2),
                     0xB3, *range(0xB6, 0xC2), 0xC7))  # fmt: skip
_IMM8_2 = frozenset((0xA4, 0xAC, 0xBA))
_BARE2 = frozenset((0x0B, 0x31, 0xA2, *range(0xC8, 0xD0)))


class CodeError(Exception):
    """Code that is not what the kernel's JIT makes, or that is not known here."""


@dataclass(frozen=True, slots=True)
class X86:
    """One instruction: `branch` goes to `target` or on, `jump` to `target`, `end` nowhere in the function."""

    at: int
    size: int
    kind: Kind = "plain"
    target: int = 0

    @property
    def after(self) -> int:
        return self.at + self.size


def decode_one(code: bytes, at: int) -> X86:
    """The instruction at offset `at`; CodeError for one that is unknown or reaches beyond the code."""
    try:
        return _decode(code, at)
    except IndexError:
        raise CodeError(f"the code ends in the middle of the instruction at +{at:#x}") from None


def _decode(code: bytes, start: int) -> X86:
    at, short, wide = start, False, False
    while code[at] in _PREFIXES:
        short |= code[at] == _OPERAND_SIZE
        at += 1
    if code[at] & 0xF0 == 0x40:
        wide = bool(code[at] & 8)
        at += 1
    opcode = code[at]
    at += 1
    if opcode in (0xC4, 0xC5):
        return _vex(code, start, at, opcode)
    if opcode == 0x0F:
        return _two_bytes(code, start, at)
    if opcode not in _MODRM | _IMM8 | _IMM32 | _BARE:
        raise CodeError(f"opcode {opcode:02x} at +{start:#x} is not known")
    extension = code[at] >> 3 & 7 if opcode in _MODRM else 0
    if opcode in _MODRM:
        at = _after_modrm(code, at)
    immediate = 1 if opcode in _IMM8 else 0
    if opcode in _IMM32:
        immediate = 8 if wide and opcode & 0xF8 == 0xB8 else 2 if short else 4
    if opcode in (0xF6, 0xF7) and extension < 2:  # TEST alone of that group has one
        immediate = 1 if opcode == 0xF6 else 2 if short else 4
    return _classified(code, start, at + immediate, opcode, extension)


def _classified(code: bytes, start: int, end: int, opcode: int, extension: int) -> X86:
    if end > len(code):
        raise IndexError
    if opcode & 0xF0 == 0x70 or opcode == 0xEB:
        target = end + int.from_bytes(code[end - 1 : end], "little", signed=True)
        return X86(start, end - start, "jump" if opcode == 0xEB else "branch", target)
    if opcode == 0xE9:
        return X86(start, end - start, "jump", end + int.from_bytes(code[end - 4 : end], "little", signed=True))
    if opcode == 0xFF and extension in (4, 5):
        raise CodeError(f"the jump at +{start:#x} goes where its operand says")
    return X86(start, end - start, "end" if opcode in (0xC3, 0xCC) else "plain")


def _two_bytes(code: bytes, start: int, at: int) -> X86:
    opcode = code[at]
    at += 1
    if opcode in (0x38, 0x3A):
        end = _after_modrm(code, at + 1) + (opcode == 0x3A)
        return _whole(code, X86(start, end - start))
    if opcode & 0xF0 == 0x80:
        end = at + 4
        target = end + int.from_bytes(code[at:end], "little", signed=True)
        return _whole(code, X86(start, end - start, "branch", target))
    if opcode in _BARE2:
        return X86(start, at - start, "end" if opcode == 0x0B else "plain")
    if opcode not in _MODRM2:
        raise CodeError(f"opcode 0f {opcode:02x} at +{start:#x} is not known")
    end = _after_modrm(code, at) + (opcode in _IMM8_2)
    return _whole(code, X86(start, end - start))


def _vex(code: bytes, start: int, at: int, opcode: int) -> X86:
    """The JIT's shifts of BMI2."""
    table = code[at] & 0x1F if opcode == 0xC4 else 1
    at += 2 if opcode == 0xC4 else 1
    end = _after_modrm(code, at + 1) + (table == 3)
    return _whole(code, X86(start, end - start))


def _after_modrm(code: bytes, at: int) -> int:
    modrm = code[at]
    mode, base = modrm >> 6, modrm & 7
    at += 1
    if mode == 3:
        return at
    if base == 4:
        base = code[at] & 7
        at += 1
    if mode == 0:
        return at + (4 if base == 5 else 0)
    return at + (1 if mode == 1 else 4)


def _whole(code: bytes, instruction: X86) -> X86:
    if instruction.after > len(code):
        raise IndexError
    return instruction


def follow(code: bytes) -> dict[int, X86]:
    """The instructions that can be reached from the first, by offset; CodeError where they overlap or lead out.

    A jump out of the function ends it: to the kernel's return thunk, or to another program.
    """
    found: dict[int, X86] = {}
    inside: set[int] = set()
    pending = [0]
    while pending:
        at = pending.pop()
        if at in found:
            continue
        if at in inside:
            raise CodeError(f"something jumps into the middle of the instruction at +{at:#x}")
        if not 0 <= at < len(code):
            raise CodeError(f"control runs out of the function at +{at:#x}")
        instruction = decode_one(code, at)
        found[at] = instruction
        inside.update(range(at + 1, instruction.after))
        pending += successors(instruction, len(code))
    if inside & found.keys():
        raise CodeError("instructions overlap")
    return found


def successors(instruction: X86, size: int) -> tuple[int, ...]:
    """Where control may go next, within a function of `size` bytes."""
    if instruction.kind == "branch":
        return (instruction.target, instruction.after)
    if instruction.kind == "jump":
        return (instruction.target,) if 0 <= instruction.target < size else ()
    return () if instruction.kind == "end" else (instruction.after,)
