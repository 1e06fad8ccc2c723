# SPDX-License-Identifier: Apache-2.0
"""What it takes to reach what was not tried: a machine with more CPUs, where a condition on their numbers says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from policy_lake.coverage import Branch, Coverage
from verifier_vm.coverage.conditions import Place, place_by_pc
from verifier_vm.object.analyse import OURS, read_facts
from verifier_vm.object.asked_cpus import fewest_cpus
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.facts import Facts


def with_cpus(coverage: Coverage, data: bytes, arguments: Sequence[str], tried: int) -> Coverage:
    """The coverage with the number of CPUs that each branch not tried asks for, where it is more than were `tried`."""
    if not any(True for _ in coverage.not_tried()):
        return coverage
    try:
        facts = read_facts(data, arguments)
    except (ObjectError, *OURS):  # another stage has said so
        return coverage
    tests: dict[Place, list[int]] = defaultdict(list)
    places = place_by_pc(facts.program)
    for pc in facts.record.cpu_tests:
        tests[places[pc]].append(pc)
    conditions = tuple(
        replace(branch, cpus=_asked(facts, branch, tests[branch.file, branch.line, branch.column], tried))
        for branch in coverage.conditions
    )
    return replace(coverage, conditions=conditions)


def _asked(facts: Facts, branch: Branch, pcs: Sequence[int], tried: int) -> int:
    ways = [jumps for jumps, fate in ((True, branch.jumped), (False, branch.went_on)) if fate == "not tried"]
    needed = [fewest_cpus(facts, pc, jumps=jumps) for pc in pcs for jumps in ways]
    return min((cpus for cpus in needed if cpus > tried), default=0)
