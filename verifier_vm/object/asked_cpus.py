# SPDX-License-Identifier: Apache-2.0
"""How many CPUs a machine must have until a policy's condition on a CPU's number goes one way or the other."""

from __future__ import annotations

from verifier_vm.object.asked import Parts
from verifier_vm.object.branch import holds
from verifier_vm.object.facts import Facts
from verifier_vm.object.kernel import CPU_COUNTERS, CPU_GIVERS
from verifier_vm.object.record import Condition
from verifier_vm.object.values import Expr

MOST_CPUS = 8192  # that the kernel can have
USUAL_CPUS = 64


def fewest_cpus(facts: Facts, pc: int, *, jumps: bool) -> int:
    """With how many CPUs the jump at a pc can go that way for the first time; 0 where that hangs on more than CPUs."""
    found = [_fewest(facts, condition, jumps) for condition in facts.record.cpu_tests.get(pc, ())]
    return min(filter(None, found), default=0)


def cpu_counts(facts: Facts) -> dict[int, int]:
    """The numbers of CPUs from which on some condition goes another way than on a machine with one, and its pc."""
    found: dict[int, int] = {}
    for pc in sorted(facts.record.cpu_tests):
        for jumps in (True, False):
            if cpus := fewest_cpus(facts, pc, jumps=jumps):
                found.setdefault(cpus, pc)
    return found


def _fewest(facts: Facts, condition: Condition, jumps: bool) -> int:
    parts = Parts(facts.made_of)
    for value in (condition.a, condition.b):
        parts.look(value)
    if not parts.leaves or not all(map(_known, parts.leaves)):
        return 0
    return next((cpus for cpus in _candidates(parts.numbers) if _answer(parts, condition, cpus) is jumps), 0)


def _candidates(numbers: set[int]) -> list[int]:
    """Counts to try: usual ones, and those about what a condition names (`cpu / 8 == 20` is of 161 CPUs)."""
    named = {number for number in numbers if 0 < number <= MOST_CPUS}
    products = {one * other for one in named for other in named}
    near = {count + more for count in named | products for more in (-1, 0, 1, 2)}
    return sorted(count for count in near.union(range(1, USUAL_CPUS + 1)) if 0 < count <= MOST_CPUS)


def _answer(parts: Parts, condition: Condition, cpus: int) -> bool:
    """What the comparison comes to on the last CPU of so many."""
    known: dict[Expr, int] = {}

    def read(leaf: Expr) -> int:
        return cpus if _name(leaf) in CPU_COUNTERS else cpus - 1

    a, b = (parts.compute(value, read, known) for value in (condition.a, condition.b))
    return holds(condition.op, a, b, condition.width)


def _known(leaf: Expr) -> bool:
    return _name(leaf) in CPU_GIVERS or _name(leaf) in CPU_COUNTERS


def _name(leaf: Expr) -> str:
    if leaf.op == "arg":
        return str(leaf.key)
    return str(leaf.key[0]) if leaf.op == "ret" and isinstance(leaf.key, tuple) else ""
