# SPDX-License-Identifier: Apache-2.0
"""The check of what a CPU leaves behind that goes off line: a place in memory that cpu_offline sets and nobody sets
back, and by which dispatch then leaves out a queue (F30). The CPU that comes back runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from policy_lake.model import Finding
from verifier_vm.object.check_switches import passed_by, way
from verifier_vm.object.counts import name_of
from verifier_vm.object.facts import Facts, Place, place_of
from verifier_vm.object.values import Expr, Value, root
from verifier_vm.situations import Situation

BEFORE = frozenset(("init", "init_task", "exit", "exit_task"))  # what comes before a CPU goes, or not again
ADVICE = (
    "What cpu_offline takes back cpu_online must give again, for the same CPU; and let dispatch look into the shared"
    " queues whatever its own state says."
)


@dataclass(frozen=True, slots=True)
class Left:
    """At `pc` dispatch passes queues by, while what cpu_offline wrote to `place` stands there."""

    place: Place
    pc: int


def check_hotplug(facts: Facts) -> Iterator[Finding]:
    """One finding for each place that is left so."""
    for left in left_behind(facts):
        flag = name_of(facts, left.place, "a place in memory")
        reason = (
            f"cpu_offline sets {flag} and cpu_online does not set it back: on a CPU that went off line and came back"
            " dispatch returns without having looked into its queues"
        )
        where = facts.place("dispatch", facts.program.line_of(left.pc), left.pc)
        yield replace(Finding("F30", "suspicion", reason, where, ADVICE), situations=(Situation.HOTPLUG,))


def left_behind(facts: Facts) -> Iterator[Left]:
    """Conditions of dispatch on what cpu_offline alone sets, once the policy is there."""
    if facts.record.incomplete or not facts.has("dispatch", "cpu_offline"):
        return
    written: dict[Place, set[int]] = {}
    others = set[Place]()
    for write in facts.record.writes.values():
        place = _place(write.base, write.offset)
        if place is None or write.entry in BEFORE:
            continue
        if write.entry == "cpu_offline" and isinstance(write.value, int):
            written.setdefault(place, set()).add(write.value)
        else:
            others.add(place)
    for pc, tests in sorted(facts.record.tests.items()):
        for place, numbers in written.items():
            ways = {found for number in numbers if (found := way(facts, tests, place, number, _read)) is not None}
            if place not in others and len(ways) == 1 and passed_by(facts, pc, jumps=ways.pop()):
                yield Left(place, pc)
                break


def _read(leaf: Expr) -> Place | None:
    """The place that a value was read from."""
    if leaf.op != "load" or not isinstance(leaf.key, tuple) or not isinstance(leaf.key[0], int) or leaf.a is None:
        return None
    return _place(leaf.a, leaf.key[0])


def _place(base: Value, offset: int) -> Place | None:
    """Where a pointer points in the policy's own memory; two elements of an array are one place."""
    if (known := place_of(base, offset)) is not None:
        return known
    inner, more = root(base)
    if not isinstance(inner, Expr) or inner.op != "add":
        return None
    places = [place for part in (inner.a, inner.b) if part is not None and (place := place_of(part, offset + more))]
    return places[0] if len(places) == 1 else None
