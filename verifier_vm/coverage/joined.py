# SPDX-License-Identifier: Apache-2.0
"""Coverage of several guests, or of code that the compiler wrote twice, as one: what ran anywhere ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from policy_lake.coverage import Branch, Coverage, Fate, FileCoverage, counted

BranchKey = tuple[str, int, int, str, int]
_RANK: dict[Fate, int] = {"dead": 0, "error": 1, "beyond": 2, "not tried": 3, "ran": 4}


def joined(coverages: Sequence[Coverage]) -> Coverage:
    """What ran in any of several guests; not known where it is not known of one."""
    if unknown := next((coverage.unknown for coverage in coverages if coverage.unknown), ""):
        return Coverage(unknown)
    fates: dict[tuple[str, int], Fate] = {}
    branches: dict[BranchKey, Branch] = {}
    for coverage in coverages:
        for file in coverage.files:
            for fate, lines in _fates_of(file):
                for line in lines:
                    fates[file.file, line] = better(fates.get((file.file, line), fate), fate)
        for branch in coverage.conditions:
            branches[branch.key] = either(branches.get(branch.key, branch), branch)
    programs = sorted({program for coverage in coverages for program in coverage.programs})
    ran = {program for coverage in coverages for program in {*coverage.programs} - {*coverage.never_ran}}
    never_ran = sorted({*programs} - ran)
    return counted(programs, by_file(fates), [branches[key] for key in sorted(branches)], never_ran)


def _fates_of(file: FileCoverage) -> tuple[tuple[Fate, tuple[int, ...]], ...]:
    return (("ran", file.ran), ("not tried", file.not_tried), ("error", file.error))


def better(one: Fate, other: Fate) -> Fate:
    """What became of what had both fates."""
    return max(one, other, key=_RANK.__getitem__)


def either(one: Branch, other: Branch) -> Branch:
    """What became of a branch in two guests, or of one that the compiler wrote twice."""
    jumped, went_on = (better(*pair) for pair in zip(one.fates, other.fates, strict=True))
    return replace(one, jumped=jumped, went_on=went_on)


def by_file(fates: dict[tuple[str, int], Fate]) -> tuple[FileCoverage, ...]:
    """The lines by file and by what became of them."""
    lines: dict[str, dict[Fate, list[int]]] = defaultdict(lambda: defaultdict(list))
    for (file, line), fate in sorted(fates.items()):
        lines[file][fate].append(line)
    return tuple(
        FileCoverage(file, tuple(found["ran"]), tuple(found["not tried"]), tuple(found["error"]))
        for file, found in lines.items()
    )
