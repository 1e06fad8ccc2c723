# SPDX-License-Identifier: Apache-2.0
"""Which of a policy's own code was executed: what a guest and its clock tell of it, and what is made of that. A leaf.

Addresses are the guest kernel's. verifier_vm/machine/layout.py and executed.py make the first records, checked there;
verifier_vm/coverage the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

OUR_HEADERS = (("bpf", "include"), ("bpf", "primitives"))
END = -1  # instead of a line: where a function ends
# Of these count the first two alone. `error`: not tried, and on an error path; `dead`: constants, or what the kernel
# hands out, never let it run; `beyond`: not tried, and taken only on CPUs with higher numbers than a token is for.
Fate = Literal["ran", "not tried", "error", "dead", "beyond"]
COUNTED: tuple[Fate, ...] = ("ran", "not tried")
UNTRIED: tuple[Fate, ...] = ("not tried", "beyond")


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
    """From which address on the code comes from which place of the source; line and column are 0 where not known."""

    address: int
    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ProgramLayout:
    """One BPF program, with its copies of the functions that it calls; `lines` by address."""

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
    """All blocks that ran in the area of BPF programs; `dropped`: how many more there was no room for."""

    blocks: tuple[Block, ...]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """The lines of one file that have code, by what became of them."""

    file: str
    ran: tuple[int, ...] = ()
    not_tried: tuple[int, ...] = ()
    error: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A conditional jump of a callback's code: what became of its two ways, and to which lines they lead.

    `number` tells apart those of one callback at one place, in order of their addresses; -1 is a loop, which jumps to
    end. Line 0: not known, or in another file; END: the end of the function. `cpus`: with so many CPUs a way that was
    not tried can be taken for the first time; 0 where their number is no matter.
    """

    program: str
    file: str
    line: int
    column: int
    number: int
    jumped: Fate
    went_on: Fate
    jumped_to: int = 0
    went_on_to: int = 0
    cpus: int = 0

    @property
    def key(self) -> tuple[str, int, int, str, int]:
        """What it is called in every guest."""
        return (self.file, self.line, self.column, self.program, self.number)

    @property
    def ways(self) -> tuple[tuple[Fate, int, int], ...]:
        """Of each of its ways what became of it, where it leads, and where the other one does."""
        return ((self.jumped, self.jumped_to, self.went_on_to), (self.went_on, self.went_on_to, self.jumped_to))

    @property
    def fates(self) -> tuple[Fate, Fate]:
        return (self.jumped, self.went_on)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those that count."""

    ran: int
    of: int

    @property
    def percent(self) -> float:
        """0 to 100; 100 of none. Rounded down, so that 100 means all."""
        return int(1000 * self.ran / self.of) / 10 if self.of else 100.0


NONE = Share(0, 0)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was executed of a policy's callbacks, over all guests of a verdict.

    `unknown` says why that is not known, and is empty otherwise. `lines` and `branches` count those outside error
    paths, `branches` each way of a conditional jump and that a callback is called at all. `programs` are the
    callbacks' functions, `never_ran` those of them that nothing called.
    """

    unknown: str = ""
    lines: Share = NONE
    branches: Share = NONE
    programs: tuple[str, ...] = ()
    never_ran: tuple[str, ...] = ()
    files: tuple[FileCoverage, ...] = ()
    conditions: tuple[Branch, ...] = ()

    def not_tried(self) -> Iterator[tuple[Branch, int]]:
        """The ways that no guest took, and to which line each leads (0: not known)."""
        for branch in self.conditions:
            for fate, to in ((branch.jumped, branch.jumped_to), (branch.went_on, branch.went_on_to)):
                if fate in UNTRIED:
                    yield branch, to


def short_file(file: str) -> str:
    """A file as a policy's own compiler call names it: without the directories of the machine that built an object."""
    if not file.startswith("/"):
        return file
    parts = PurePosixPath(file).parts
    ours = next((at for at, pair in enumerate(pairwise(parts)) if pair in OUR_HEADERS), None)
    return parts[-1] if ours is None else "/".join(parts[ours:])


def shortened(coverage: Coverage) -> Coverage:
    """The coverage with such names; as it is where two files would have one."""
    names = {file: short_file(file) for file in (*(one.file for one in coverage.files),
                                                 *(one.file for one in coverage.conditions))}  # fmt: skip
    if len(set(names.values())) < len(names):
        return coverage
    files = tuple(replace(one, file=names[one.file]) for one in coverage.files)
    return replace(
        coverage, files=files, conditions=tuple(replace(one, file=names[one.file]) for one in coverage.conditions)
    )


def counted(
    programs: Sequence[str],
    files: Sequence[FileCoverage],
    conditions: Sequence[Branch],
    never_ran: Sequence[str] = (),
) -> Coverage:
    """The coverage with its shares, which nobody else works out."""
    ran = sum(len(file.ran) for file in files)
    fates = [fate for branch in conditions for fate in branch.fates if fate in COUNTED]
    lines = Share(ran, ran + sum(len(file.not_tried) for file in files))
    branches = Share(fates.count("ran") + len(programs) - len(never_ran), len(fates) + len(programs))
    return Coverage("", lines, branches, tuple(programs), tuple(never_ran), tuple(files), tuple(conditions))


def shortfall(coverage: Coverage | None, percent: float) -> str:
    """Empty if so many per cent of the branches outside error paths were tried; else why not, in one line."""
    if coverage is None or coverage.unknown:
        return f"what ran of the policy's code is not known: {coverage.unknown if coverage else 'it was not measured'}"
    share = coverage.branches
    if share.percent >= percent:
        return ""
    tried = f"{share.percent:g} % of the branches outside error paths were tried ({share.ran} of {share.of})"
    return f"{tried}, {percent:g} % are asked for"
