# SPDX-License-Identifier: Apache-2.0
"""From the blocks that ran and where the code lies to lines and branches of a policy's source."""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policy_lake.coverage import (
    Branch,
    CodeFunction,
    CodeLine,
    Coverage,
    Executed,
    Fate,
    FileCoverage,
    ProgramLayout,
    counted,
)
from verifier_vm.coverage.conditions import Condition, Conditions, Place, read_conditions
from verifier_vm.coverage.error_paths import JUMPED, WENT_ON
from verifier_vm.coverage.joined import BranchKey, better, by_file, either
from verifier_vm.coverage.ways import leads_to, opening_of
from verifier_vm.coverage.x86 import X86, CodeError, follow, successors
from verifier_vm.object.errors import ObjectError

NO_LINES = "the object has no line information (compile with -g)"
NOWHERE: Place = ("", 0, 0)
TWO_BYTES = 0x0F  # where a jump's opcode has two
LOOP = -1  # the number of the branch that a loop is, at its place


@dataclass(slots=True)
class _Jump:
    """A conditional jump, by offset in its function, and which ways of it were taken."""

    condition: Condition
    instruction: X86
    taken: set[int] = field(default_factory=set)
    own: bool = True


@dataclass(slots=True)
class _Function:
    """One function with what ran of it: offsets of instructions, what can be reached at all (`alive`), and
    without an error path.
    """

    program: str
    lines: list[CodeLine]
    code: dict[int, X86]
    size: int
    start: int
    ran: set[int] = field(default_factory=set)
    jumps: dict[int, _Jump] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)
    counted: set[int] = field(default_factory=set)
    dead: Mapping[Condition, set[int]] = field(default_factory=dict)
    name: str = ""  # the program's, but of a function that the kernel calls by itself its own

    def place(self, at: int) -> Place:
        """Which place of the source the instruction at that offset comes from."""
        index = bisect_right(self.lines, self.start + at, key=lambda line: line.address) - 1
        if index < 0:
            return NOWHERE
        line = self.lines[index]
        return (line.file, line.line, line.column)


def measure_coverage(
    data: bytes, programs: Sequence[ProgramLayout], executed: Executed, arguments: Sequence[str] = ()
) -> Coverage:
    """What ran of an object's callbacks in one guest, into which it was loaded with these words.

    Never raises: what does not fit is coverage that is not known.
    """
    if executed.dropped:
        return Coverage(f"more blocks ran than there was room for ({executed.dropped} were dropped)")
    try:
        conditions = read_conditions(data, arguments)
        wanted = [program for program in programs if program.name in conditions.callbacks]
        if missing := conditions.callbacks - {program.name for program in wanted}:
            return Coverage(f"the guest does not tell where the code of {', '.join(sorted(missing))} lies")
        if not all(program.lines for program in wanted):
            return Coverage(NO_LINES)
        functions = [function for program in wanted for function in _functions(program, conditions.passed_on)]
        _run(functions, wanted, executed)
    except (CodeError, ObjectError) as error:
        return Coverage(f"the code cannot be followed: {error}")
    _tell_own(functions, conditions)
    for program in wanted:
        of_program = [function for function in functions if function.program == program.name]
        for at, function in enumerate(of_program):  # the first is the callback's own
            function.dead = conditions.closed_in("" if at else program.name)
    for function in functions:
        _infer_ways(function)
        function.alive = _reached(function, function.dead)
        function.counted = _reached(function, function.dead, conditions.error)
    entered = {function.program for function in functions if function.ran}
    never_ran = sorted(conditions.callbacks - entered)
    return counted(sorted(conditions.callbacks), _files(functions), _branches(functions, conditions), never_ran)


def _functions(program: ProgramLayout, passed_on: Mapping[Place, str]) -> list[_Function]:
    found = []
    addresses = [line.address for line in program.lines]
    for function in program.functions:
        first, end = (bisect_left(addresses, address) for address in (function.start, function.end))
        lines = list(program.lines[first:end])
        made = _Function(program.name, lines, follow(function.code), len(function.code), function.start)
        made.name = passed_on.get(made.place(0), program.name)
        before = {instruction.after: at for at, instruction in made.code.items() if instruction.kind == "plain"}
        for at, instruction in made.code.items():
            if instruction.kind == "branch":
                comparison = function.code[before.get(at, at) : at]
                opcode = function.code[at + 1] if function.code[at] == TWO_BYTES else function.code[at]
                made.jumps[at] = _Jump((made.place(at), comparison, opcode & 15), instruction)
        found.append(made)
    return found


def _run(functions: list[_Function], programs: Sequence[ProgramLayout], executed: Executed) -> None:
    """Mark what ran. A block whose bytes are not the function's ran when other code lay there."""
    by_start = sorted(
        zip((function for program in programs for function in program.functions), functions, strict=True),
        key=lambda pair: pair[0].start,
    )
    starts = [code.start for code, _ in by_start]
    for block in executed.blocks:
        index = bisect_right(starts, block.start) - 1
        if index < 0:
            continue
        code, function = by_start[index]
        if block.start + block.size > code.end or not _same(block.start, block.size, block.crc, code):
            continue
        _mark(function, block.start - code.start, block.size, jumped=block.jumped, went_on=block.went_on)


def _same(start: int, size: int, crc: int, code: CodeFunction) -> bool:
    at = start - code.start
    return zlib.crc32(code.code[at : at + size]) == crc


def _mark(function: _Function, at: int, size: int, *, jumped: bool, went_on: bool) -> None:
    end = at + size
    while at < end:
        instruction = function.code.get(at)
        if instruction is None:
            raise CodeError(f"{function.program}: a block ran that begins or ends between instructions, at +{at:#x}")
        function.ran.add(at)
        if instruction.after == end and instruction.kind == "branch":
            function.jumps[at].taken |= ({JUMPED} if jumped else set()) | ({WENT_ON} if went_on else set())
        at = instruction.after
    if at != end:
        raise CodeError(f"{function.program}: a block ran that ends between instructions, before +{at:#x}")


def _tell_own(functions: list[_Function], conditions: Conditions) -> None:
    """Which jumps are the policy's own. Where one of its own is missing at a place, all there are taken for its own,
    but for what the kernel has taken out itself: jumps that constants decide.
    """
    found: dict[Place, set[Condition]] = defaultdict(set)
    for function in functions:
        for jump in function.jumps.values():
            found[jump.condition[0]].add(jump.condition)
    decided = {condition for condition, ways in conditions.dead.items() if ways}
    for function in functions:
        for jump in function.jumps.values():
            place = jump.condition[0]
            unseen = conditions.by_place.get(place, set()) - found[place] - conditions.bounds - decided
            jump.own = (jump.condition in conditions.known or bool(unseen)) and jump.condition not in conditions.bounds


def _infer_ways(function: _Function) -> None:
    """A way is taken, too, if what ran behind it can be reached by it alone: an interrupt hides one from the clock."""
    before: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for at, instruction in function.code.items():
        for way, to in enumerate(successors(instruction, function.size)):
            before[to].append((at, way))
    for to, origins in before.items():
        if to in function.ran and to != 0 and len(origins) == 1:
            at, way = origins[0]
            if at in function.jumps and at in function.ran:
                function.jumps[at].taken.add(way)


def _reached(function: _Function, *closed: Mapping[Condition, set[int]]) -> set[int]:
    """What can be reached without going any of these ways."""
    reached: set[int] = set()
    pending = [0]
    while pending:
        at = pending.pop()
        if at in reached or at not in function.code:
            continue
        reached.add(at)
        jump = function.jumps.get(at)
        out = {way for ways in closed for way in ways.get(jump.condition, ())} if jump else set[int]()
        pending += [to for way, to in enumerate(successors(function.code[at], function.size)) if way not in out]
    return reached


def _files(functions: list[_Function]) -> tuple[FileCoverage, ...]:
    fates: dict[tuple[str, int], Fate] = {}
    for function in functions:
        for at in function.code:
            file, line, _ = function.place(at)
            fate: Fate = "ran" if at in function.ran else "not tried" if at in function.counted else "error"
            if line:
                fates[file, line] = better(fates.get((file, line), fate), fate)
    return by_file(fates)


def _branches(functions: list[_Function], conditions: Conditions) -> tuple[Branch, ...]:
    numbers: dict[tuple[str, str, Place], int] = defaultdict(int)
    found: dict[BranchKey, Branch] = {}
    for function in functions:
        ends = [function.place(at) for at, instruction in function.code.items() if instruction.kind in ("end", "jump")]
        opening = opening_of(function.lines, ends)
        for at, jump in sorted(function.jumps.items()):
            if not jump.own:
                continue
            place, instruction = jump.condition[0], jump.instruction
            fates = [_fate(function, jump, at, way, conditions) for way in (JUMPED, WENT_ON)]
            targets = [leads_to(function.place(to), place, opening) for to in (instruction.target, instruction.after)]
            at_place = (function.program, function.name, place)
            number = numbers[at_place]
            if jump.condition in conditions.loop_ends:
                number = LOOP
                if conditions.loop_ends[jump.condition] == WENT_ON:
                    fates.reverse()
                    targets.reverse()
            else:
                numbers[at_place] += 1
            branch = Branch(function.name, *place, number, fates[0], fates[1], targets[0], targets[1])
            found[branch.key] = either(found.get(branch.key, branch), branch)
    return tuple(found[key] for key in sorted(found))


def _fate(function: _Function, jump: _Jump, at: int, way: int, conditions: Conditions) -> Fate:
    if way in jump.taken:
        return "ran"
    if way in function.dead.get(jump.condition, ()) or at not in function.alive:
        return "dead"
    left_out = way in conditions.error.get(jump.condition, set())
    return "error" if left_out or at not in function.counted else "not tried"
