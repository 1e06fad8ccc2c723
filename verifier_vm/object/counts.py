# SPDX-License-Identifier: Apache-2.0
"""Counts of a policy's own that only fall or only rise, and what dispatch does once they have come far enough.

A condition on such a count is computed for each step that it takes. Where it turns, and stays so, dispatch is walked
twice: as the condition is at first, and as it is from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from verifier_vm.object import limits
from verifier_vm.object.asked import Parts, place_in_memory
from verifier_vm.object.branch import holds
from verifier_vm.object.facts import Facts, Place, place_of
from verifier_vm.object.kernel import NEED_NOT_COME, UPDATED
from verifier_vm.object.record import Condition, Record, Write
from verifier_vm.object.values import MASK, Expr, Value, signed
from verifier_vm.object.walk import Walk

BYTES = {8: 1, 16: 2, 32: 4, 64: 8}
MOST_STEPS = 1 << 40  # a million a second for twelve days: what takes longer happens on no host
STAYS = 100_000  # steps for which it is the same, or it is one that opens again
EACH, GROWTH = 130, 1.04  # the first steps are all looked at, then fewer
CHANGES = ("map_update_elem", "map_delete_elem")


@dataclass(frozen=True, slots=True)
class Count:
    """A number in the policy's own memory that every write changes by `step`, from `start`; `bits` wide.

    `begins_in_data`: the object's own data say where it begins.
    """

    place: Place
    start: int
    step: int
    bits: int
    begins_in_data: bool = False

    def after(self, steps: int) -> int:
        """What it is after so many steps."""
        return (self.start + steps * self.step) & (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Turn:
    """After `steps` of a count some conditions of dispatch are another way, the first at `pc`: by pc, whether they jump
    `before` and `after`. `lasts` where they stay so however far it goes on.
    """

    count: Count
    steps: int
    pc: int
    before: Mapping[int, bool]
    after: Mapping[int, bool]
    lasts: bool


@dataclass(frozen=True, slots=True)
class Closing:
    """A turn after which dispatch serves queues no more, or not always: their ids, or Record's words for some."""

    turn: Turn
    queues: frozenset[int]


def closings(facts: Facts) -> Iterator[Closing]:
    """Where dispatch stops to look into queues for good, or to insert what it keeps elsewhere."""
    if facts.record.incomplete or not facts.has("dispatch"):
        return
    for turn in turns(facts):
        after_it = walked(facts, turn.after)
        if not turn.lasts and not _is_left_alone(facts, after_it, turn.count):
            continue
        before, after = (served(record) for record in (walked(facts, turn.before), after_it))
        less = frozenset().union(*before) - frozenset().union(*after)
        passed_by = {queue for served in after - before for queue in frozenset().union(*before) - served}
        if lost := less | passed_by:
            yield Closing(turn, lost)


def turns(facts: Facts) -> Iterator[Turn]:
    """Where conditions of dispatch turn, a count at a time."""
    for count in _counts(facts):
        conditions = {pc: _Test(facts, tests, count) for pc, tests in facts.record.tests.items()}
        conditions = {pc: test for pc, test in conditions.items() if test.is_about_it}
        found = {steps: pc for pc, test in conditions.items() if (steps := test.turn())}
        for steps, pc in sorted(found.items())[: limits.TURNS]:
            before, after = ({pc: way for pc, test in conditions.items() if (way := test.answer(at)) is not None}
                             for at in (0, steps))  # fmt: skip
            yield Turn(count, steps, pc, before, after, conditions[pc].lasts(steps))


def walked(facts: Facts, decided: Mapping[int, bool]) -> Record:
    """What dispatch does where those jumps, by pc, are taken for known."""
    walk = Walk(facts.program, decided)
    walk.entry("dispatch", facts.ops.callbacks["dispatch"])
    return walk.record


def served(record: Record) -> frozenset[frozenset[int]]:
    """What each path through dispatch looked into that came by a decided jump."""
    ends = [ending.path for ending in record.endings.values() if ending.path.decided and not ending.path.ended]
    return frozenset() if record.incomplete else frozenset(path.looked for path in ends)


def _is_left_alone(facts: Facts, after: Record, count: Count) -> bool:
    """Does nobody change the count any more? Then it stays what it is."""
    others = NEED_NOT_COME | {"dispatch"}
    ours = (write for write in facts.record.writes.values() if write.entry not in others)
    return not any(place_of(write.base, write.offset) == count.place for write in (*ours, *after.writes.values()))


def name_of(facts: Facts, place: Place, otherwise: str) -> str:
    """The variable that a place in the object's data is, in quotes; `otherwise` where none has a name."""
    _, name, offset = place
    section = facts.program.elf.named(str(name))
    symbols = facts.program.elf.symbols if section else ()
    named = (s.name for s in symbols if section and s.section == section.index and s.value == offset)
    return next((f"'{name}'" for name in named if name and not name.startswith(".")), otherwise)


def _counts(facts: Facts) -> Iterator[Count]:
    places: dict[Place, list[Write]] = {}
    for write in facts.record.writes.values():
        if (place := place_of(write.base, write.offset)) and place[0] in ("data", "element"):
            places.setdefault(place, []).append(write)
    calls = (call for call in facts.record.by_name(*CHANGES) if call.entry not in NEED_NOT_COME)
    changed = {str(call.args[0].key) for call in calls if isinstance(call.args[0], Expr)}
    found = 0
    for place, writes in places.items():
        count = _count(facts, place, writes) if place[1] not in changed else None
        if count is not None and found < limits.COUNTS:
            found += 1
            yield count


def _count(facts: Facts, place: Place, writes: list[Write]) -> Count | None:
    """The count that all writes to a place are, but those that need not come; None for any other.

    Of these init's, else another's, say where it begins.
    """
    begins = list(_begins(facts, place, writes))
    changes = [_change(facts, write.value, place) for write in writes if write.entry not in NEED_NOT_COME]
    steps = {step for _, step in filter(None, changes)}
    if not changes or None in changes or len({step > 0 for step in steps}) != 1:
        return None
    bits = next(bits for bits, _ in filter(None, changes))
    start = begins[0] if begins else _first(facts, place, bits)
    if not isinstance(start, int):
        return None
    in_data = not begins and place[0] == "data" and place[2] < len(facts.program.data.get(str(place[1]), b""))
    return Count(place, start, min(steps, key=abs), bits, in_data)


def _begins(facts: Facts, place: Place, writes: list[Write]) -> Iterator[Value | None]:
    """What callbacks that need not come set a place to, init's last one first; None for what is not known."""
    ours = [write for write in writes if write.entry in NEED_NOT_COME and _change(facts, write.value, place) is None]
    yield from (write.value for write in reversed(ours) if write.entry == "init")
    for call in facts.record.by_name("map_update_elem"):
        if call.entry in NEED_NOT_COME and isinstance(call.args[0], Expr) and str(call.args[0].key) == place[1]:
            yield call.field(UPDATED) if place[2] == 0 else None
    yield from (write.value for write in ours if write.entry != "init")


def _change(facts: Facts, value: Value, place: Place) -> tuple[int, int] | None:
    """(bits, by how much) of a write that adds a number to what was at its place."""
    while isinstance(value, Expr) and (value.op == "low" or value in facts.made_of):
        inner = facts.made_of.get(value, value.a)
        value = inner if inner is not None else 0
    if not isinstance(value, Expr) or value.op != "off" or not isinstance(value.key, int):
        return None
    old = value.a
    while isinstance(old, Expr) and old.op == "low":
        old = old.a
    if not isinstance(old, Expr) or place_in_memory(old) != place or old.bits not in BYTES:
        return None
    step = signed(value.key & (1 << old.bits) - 1, old.bits)
    return (old.bits, step) if step else None


def _first(facts: Facts, place: Place, bits: int) -> int:
    data = facts.program.data.get(str(place[1]), b"") if place[0] == "data" else b""
    return int.from_bytes(data[place[2] : place[2] + BYTES[bits]], "little")


class _Test:
    """The comparisons that paths make at one place, as functions of a count."""

    def __init__(self, facts: Facts, tests: set[Condition], count: Count) -> None:
        self._facts, self._tests, self._count = facts, tests, count
        self._parts = Parts(facts.made_of)
        for test in tests:
            for value in (test.a, test.b):
                self._parts.look(value)

    @property
    def is_about_it(self) -> bool:
        """Is there nothing else in them that is not known?"""
        leaves = self._parts.leaves
        ours = [leaf for leaf in leaves if place_in_memory(leaf) == self._count.place]
        return bool(ours) and all(leaf in ours or self._is_constant(leaf) for leaf in leaves)

    def _is_constant(self, leaf: Expr) -> bool:
        place = place_in_memory(leaf)
        return place is not None and place[0] == "data" and place not in self._facts.written

    def answer(self, steps: int) -> bool | None:
        """Whether the place jumps after so many steps; None where its paths differ."""

        def read(leaf: Expr) -> int:
            place = place_in_memory(leaf)
            ours = place is None or place == self._count.place
            return self._count.after(steps) if ours or place is None else _first(self._facts, place, leaf.bits)

        known: dict[Expr, int] = {}
        answers = set[bool]()
        for test in self._tests:
            a, b = (self._parts.compute(value, read, known) & MASK for value in (test.a, test.b))
            answers.add(holds(test.op, a, b, test.width))
        return answers.pop() if len(answers) == 1 else None

    def turn(self) -> int:
        """After how many steps they come to something else for the first time; 0: never, or on no host."""
        first, count = self.answer(0), self._count
        named = {(signed(number, 64) - count.start) // count.step + more for number in self._parts.numbers
                 for more in (-1, 0, 1)}  # fmt: skip
        turned = [steps for steps in named if 0 < steps <= MOST_STEPS and self.answer(steps) != first]
        early, late = 0, 1
        while late <= MOST_STEPS and self.answer(late) == first:
            early, late = late, late + 1 if late < EACH else int(late * GROWTH)
        while late <= MOST_STEPS and late - early > 1:
            middle = (early + late) // 2
            early, late = (middle, late) if self.answer(middle) == first else (early, middle)
        return min([*turned, *([late] if late <= MOST_STEPS else [])], default=0)

    def lasts(self, steps: int) -> bool:
        """Are they the same for long after that?"""
        now, more = self.answer(steps), 1
        while more < STAYS and self.answer(steps + more) == now:
            more = more + 1 if more < EACH else int(more * GROWTH)
        return more >= STAYS
