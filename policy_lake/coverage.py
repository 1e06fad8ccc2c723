# SPDX-License-Identifier: Apache-2.0
"""Which of a policy's own code was executed: what a guest and its clock tell of it, and what is made of that. A leaf.

Addresses are the guest kernel's. verifier_vm/machine/layout.py and executed.py make the first records, checked there;
verifier_vm/coverage the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["jumped", "went on"]  # of a conditional jump


@dataclass(frozen=True, slots=True)
class CodeFunction:
    """A function as the kernel's JIT made it: x86 code and where it lies."""

    start: int
    code: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.code)


@dataclass(frozen=True, slots=True)
class CodeLine:
    """From which address on the code comes from which place of the source; column 0 where none is known."""

    address: int
    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ProgramLayout:
    """One BPF program, with the copies of the functions that it calls; `lines` by address."""

    name: str
    functions: tuple[CodeFunction, ...]
    lines: tuple[CodeLine, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Straight code that ran, from `start` for `size` bytes with that CRC-32, and how the jump at its end went."""

    start: int
    size: int
    crc: int
    jumped: bool = False
    went_on: bool = False


@dataclass(frozen=True, slots=True)
class Executed:
    """All blocks that ran in the area of BPF programs; with `dropped`, there were more than there was room for."""

    blocks: tuple[Block, ...]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LineCoverage:
    """A line that has code: whether it ran, or is `error` path, which does not count."""

    file: str
    line: int
    ran: bool
    error: bool = False


@dataclass(frozen=True, slots=True)
class BranchSide:
    """One of the two ways of a conditional jump: `number` tells apart those of one program at one place, in order.

    `to` is the line that it leads to, 0 where none is known.
    """

    program: str
    file: str
    line: int
    column: int
    number: int
    way: Way
    to: int
    ran: bool
    error: bool = False

    @property
    def key(self) -> tuple[str, str, int, int, int, Way]:
        """What it is called in every guest."""
        return (self.program, self.file, self.line, self.column, self.number, self.way)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was executed of a policy's callbacks, over all guests; `unknown` says why nothing is known, else empty.

    `lines` and `branches` hold all, in order of their places; `programs` are the callbacks' functions.
    """

    lines: tuple[LineCoverage, ...] = ()
    branches: tuple[BranchSide, ...] = ()
    programs: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def counted_lines(self) -> tuple[LineCoverage, ...]:
        return tuple(line for line in self.lines if not line.error)

    @property
    def counted_branches(self) -> tuple[BranchSide, ...]:
        return tuple(side for side in self.branches if not side.error)

    @property
    def line_share(self) -> float | None:
        """Of the lines outside error paths, how many ran, 0 to 1; None where nothing is known."""
        return None if self.unknown else _share([line.ran for line in self.counted_lines])

    @property
    def branch_share(self) -> float | None:
        """Of the ways of conditional jumps outside error paths, how many were taken; None where nothing is known."""
        return None if self.unknown else _share([side.ran for side in self.counted_branches])


def _share(ran: list[bool]) -> float:
    return sum(ran) / len(ran) if ran else 1.0
