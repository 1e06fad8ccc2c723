# SPDX-License-Identifier: Apache-2.0
"""What it takes to reach what was not tried: a machine with more CPUs, where a condition on their numbers says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from policy_lake.coverage import Branch, Coverage, Fate, counted
from verifier_vm.coverage.conditions import Place, place_by_pc, ways_beyond
from verifier_vm.coverage.error_paths import JUMPED, WENT_ON
from verifier_vm.object.analyse import OURS, read_facts
from verifier_vm.object.asked_cpus import fewest_cpus
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.facts import Facts


def with_cpus(coverage: Coverage, data: bytes, arguments: Sequence[str], tried: int) -> Coverage:
    """The coverage with the number of CPUs that each branch not tried asks for, where it is more than were `tried`.

    Ways that only CPUs of higher numbers than that can take are `beyond`: a token is for no host that has them.
    """
    if not any(True for _ in coverage.not_tried()):
        return coverage
    try:
        facts, beyond = read_facts(data, arguments), ways_beyond(data, arguments, tried)
    except (ObjectError, *OURS):  # another stage has said so
        return coverage
    tests: dict[Place, list[int]] = defaultdict(list)
    places = place_by_pc(facts.program)
    for pc in facts.record.cpu_tests:
        tests[places[pc]].append(pc)
    conditions = tuple(
        _beyond(
            replace(branch, cpus=_asked(facts, branch, tests[branch.file, branch.line, branch.column], tried)),
            beyond.get((branch.file, branch.line, branch.column), set()),
        )
        for branch in coverage.conditions
    )
    return counted(coverage.programs, coverage.files, conditions, coverage.never_ran)


def _beyond(branch: Branch, ways: set[int]) -> Branch:
    if branch.number < 0:  # a loop's ways are told otherwise
        return branch
    jumped, went_on = (
        _fate_of(fate, way in ways) for way, fate in ((JUMPED, branch.jumped), (WENT_ON, branch.went_on))
    )
    return replace(branch, jumped=jumped, went_on=went_on)


def _fate_of(fate: Fate, beyond: bool) -> Fate:
    return "beyond" if beyond and fate == "not tried" else fate


def _asked(facts: Facts, branch: Branch, pcs: Sequence[int], tried: int) -> int:
    ways = [jumps for jumps, fate in ((True, branch.jumped), (False, branch.went_on)) if fate == "not tried"]
    needed = [fewest_cpus(facts, pc, jumps=jumps) for pc in pcs for jumps in ways]
    return min((cpus for cpus in needed if cpus > tried), default=0)
