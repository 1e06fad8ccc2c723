# SPDX-License-Identifier: Apache-2.0
"""The check of switches: places in memory that dispatch sets, and by which it then leaves out a queue (F03).

Between what one CPU saw and what it writes another may have queued a task; and what it cannot run itself, for it is
bound to another, looks to it as if there were nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policy_lake.model import Finding
from verifier_vm.object.asked import Parts, place_in_memory
from verifier_vm.object.branch import holds
from verifier_vm.object.counts import name_of, served, walked
from verifier_vm.object.facts import Facts, Place, place_of
from verifier_vm.object.kernel import PERCPU_ARRAY, PERCPU_HASHES
from verifier_vm.object.record import FOUND, SOME_QUEUE, Condition
from verifier_vm.object.values import MASK, Expr
from verifier_vm.situations import Situation

ADVICE = (
    "Look into every queue before the CPU idles, whatever a flag says: a look into an empty queue costs little."
    " Or clear the flag before the look, set it after the insert, and clear it for no task that another CPU has to run."
)


Looked = frozenset[frozenset[int]]


@dataclass(frozen=True, slots=True)
class Switch:
    """At `pc` dispatch passes `queues` by, while what it wrote to `place` itself stands there."""

    place: Place
    pc: int
    queues: frozenset[int]


def check_switches(facts: Facts) -> Iterator[Finding]:
    """One finding for each place at which a switch decides."""
    for switch in switches(facts):
        known = sorted(queue for queue in switch.queues if queue not in (FOUND, SOME_QUEUE))
        queues = f"DSQ {', '.join(f'{queue:#x}' for queue in known)}" if known else "its queues"
        flag = name_of(facts, switch.place, "a flag in memory")
        reason = (
            f"dispatch can return without having looked into {queues}, by {flag},"
            " which another CPU's dispatch may have cleared though a task waits there"
        )
        place = facts.place("dispatch", facts.program.line_of(switch.pc), switch.pc)
        yield replace(Finding("F03", "suspicion", reason, place, ADVICE), situations=(Situation.GLANCES,))


def switches(facts: Facts) -> Iterator[Switch]:
    """Conditions of dispatch on memory that dispatch sets to a number, with which it looks into fewer queues."""
    if facts.record.incomplete or not facts.has("dispatch"):
        return
    written = _written(facts)
    for pc, tests in sorted(facts.record.tests.items()):
        for place, numbers in written.items():
            ways = {found for number in numbers if (found := way(facts, tests, place, number)) is not None}
            if len(ways) == 1 and (queues := passed_by(facts, pc, jumps=ways.pop())):
                yield Switch(place, pc, queues)
                break


def _written(facts: Facts) -> dict[Place, set[int]]:
    """What dispatch sets places to that all CPUs share, and somebody else to something else."""
    numbers: dict[Place, set[int]] = {}
    others: dict[Place, set[object]] = {}
    for write in facts.record.writes.values():
        place = place_of(write.base, write.offset)
        if place is None or not _is_shared(facts, place):
            continue
        others.setdefault(place, set()).add(write.value if isinstance(write.value, int) else id(write.value))
        if write.entry == "dispatch" and isinstance(write.value, int):
            numbers.setdefault(place, set()).add(write.value)
    return {place: set_ for place, set_ in numbers.items() if len(others[place]) > 1}


def _is_shared(facts: Facts, place: Place) -> bool:
    table = facts.program.maps.get(str(place[1])) if place[0] == "element" else None
    return place[0] == "data" or (table is not None and table.kind not in (PERCPU_ARRAY, *PERCPU_HASHES))


def way(
    facts: Facts,
    tests: set[Condition],
    place: Place,
    number: int,
    read: Callable[[Expr], Place | None] = place_in_memory,
) -> bool | None:
    """Whether the jump is taken while that number stands there; None where that hangs on more."""
    answers = set[bool]()
    for test in tests:
        parts = Parts(facts.made_of)
        for value in (test.a, test.b):
            parts.look(value)
        if not parts.leaves or any(read(leaf) != place for leaf in parts.leaves):
            return None
        a, b = (parts.compute(value, lambda _: number, {}) & MASK for value in (test.a, test.b))
        answers.add(holds(test.op, a, b, test.width))
    return answers.pop() if len(answers) == 1 else None


@dataclass(frozen=True, slots=True)
class Ways:
    """What each path through dispatch looks into that comes by a jump: where it is taken, and where not."""

    jumped: Looked
    went_on: Looked
    steps: int  # that it took to find out

    def decides(self, queue: int) -> bool:
        """Whether all paths on one way leave a queue out, and all on the other look into it: nothing else has a say."""
        looks = [{queue in looked for looked in way} for way in (self.jumped, self.went_on)]
        return {True} in looks and {False} in looks

    def passed_by(self, *, jumps: bool) -> frozenset[int]:
        """Queues that some path looks into on the other way, and that one on this way finds nothing without."""
        closed, opened = (self.jumped, self.went_on) if jumps else (self.went_on, self.jumped)
        all_of = frozenset().union(*opened) - {FOUND}
        return frozenset().union(*(all_of - looked for looked in closed if FOUND not in looked))


def ways_of(facts: Facts, pc: int) -> Ways:
    """Two walks through dispatch: the jump at `pc` is taken for one that always goes the same way."""
    jumped, went_on = (walked(facts, {pc: jumps}) for jumps in (True, False))
    return Ways(served(jumped), served(went_on), jumped.steps + went_on.steps)


def passed_by(facts: Facts, pc: int, *, jumps: bool) -> frozenset[int]:
    """The queues of Ways.passed_by where the jump at `pc` goes that way."""
    return ways_of(facts, pc).passed_by(jumps=jumps)
