# SPDX-License-Identifier: Apache-2.0
"""The check of narrow times: a clock cut to 32 bits or fewer that takes part in an order (F18, F03).

As a vtime it jumps back when it begins anew, and who waits then stands behind all that come for as long as it takes to
come so far again. Compared with a moment that was kept, it does not reach that moment for as long. A difference of two
such times is right all the same, and is left alone. A vtime that is summed up in so few bits jumps back as well, but
nobody knows when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from policy_lake.model import Finding
from verifier_vm.object.asked import S, of_time, place_in_memory
from verifier_vm.object.branch import ORDERED
from verifier_vm.object.counts import name_of
from verifier_vm.object.facts import Facts, Insert, Place, dsq_text
from verifier_vm.object.record import Condition
from verifier_vm.object.values import Expr, Value, leaves_of
from verifier_vm.situations import Situation

NARROW, NARROWEST = 32, 16  # bits
FROM_S = 60  # of uptime: no host has a policy on before
LONGEST_S = 2 * 365 * 86_400  # between two beginnings: nobody is up for longer
KEEP_64 = "Keep times in 64 bits"
ADVICE = f"{KEEP_64}: the kernel orders by all 64, and a number of 32 that begins anew is a jump back."
ADVICE_COMPARED = f"{KEEP_64}, or compare two of 32 by the sign of their difference: (s32)(now - then) < 0."


@dataclass(frozen=True, slots=True)
class Wrap:
    """A number of so many bits begins anew when the machine has been up for `first_s`, and each `period_s` again; both
    are 0 where it is summed up, at a pace that is not known."""

    bits: int
    first_s: float = 0.0
    period_s: float = 0.0

    def __str__(self) -> str:
        if not self.period_s:
            return f"is summed up in {self.bits} bits, and begins anew at 2^{self.bits}"
        return f"is a time of {self.bits} bits, which begins anew every {_span(self.period_s)}"


def check_times(facts: Facts) -> Iterator[Finding]:
    """One finding for each insert by such a vtime, and for each comparison in dispatch."""
    for insert, wrap in _by_vtime(facts):
        reason = (
            f"the vtime of an insert into {_queue(insert)} {wrap}: who waits then stands behind all that come"
            f"{f' for the next {_span(wrap.period_s)}' if wrap.period_s else ''}"
        )
        found = facts.finding("F18", "suspicion", reason, insert.call, ADVICE)
        yield replace(found, situations=(Situation.WRAPPED,))
    for pc, place, wrap in _compared(facts):
        kept = name_of(facts, place, "a moment that it keeps")
        reason = (
            f"what dispatch compares with {kept} {wrap}: then it is less than what was kept before for the next"
            f" {_span(wrap.period_s)}"
        )
        where = facts.place("dispatch", facts.program.line_of(pc), pc)
        yield replace(Finding("F03", "suspicion", reason, where, ADVICE_COMPARED), situations=(Situation.WRAPPED,))


def wraps(facts: Facts) -> frozenset[Wrap]:
    """All that begin anew in what a policy is ordered by."""
    return frozenset((*(wrap for _, wrap in _by_vtime(facts)), *(wrap for _, _, wrap in _compared(facts))))


def _by_vtime(facts: Facts) -> Iterator[tuple[Insert, Wrap]]:
    seen = set[int]()
    for insert in facts.inserts:
        if insert.vtime is None or insert.call.pc in seen:
            continue
        if (wrap := _wrap_of(facts, insert.vtime) or _sum_of(facts, insert.vtime)) is not None:
            seen.add(insert.call.pc)
            yield insert, wrap


def _compared(facts: Facts) -> Iterator[tuple[int, Place, Wrap]]:
    for pc, tests in sorted(facts.record.tests.items()):
        for test in tests:
            if test.op in ORDERED and (found := _against_kept(facts, test)) is not None:
                yield pc, *found
                break


def _against_kept(facts: Facts, test: Condition) -> tuple[Place, Wrap] | None:
    """The place whose time a comparison holds against the clock's, and when that begins anew."""
    for now, then in ((test.a, test.b), (test.b, test.a)):
        places = [place for leaf in leaves_of(then) if (place := place_in_memory(leaf)) is not None]
        mixed = any(place_in_memory(leaf) is not None for leaf in leaves_of(now))
        if mixed or len(places) != 1 or of_time(facts, then) is not None:
            continue
        was_clock = any(of_time(facts, value) is not None for value in facts.written.get(places[0], ()))
        if was_clock and (wrap := _wrap_of(facts, now)) is not None:
            return places[0], wrap
    return None


def _wrap_of(facts: Facts, value: Value) -> Wrap | None:
    """When a value that is made of a clock begins anew; None for one that is not, or does not in years."""
    if not isinstance(value, Expr) or not NARROWEST <= value.bits <= NARROW:
        return None
    at = of_time(facts, value)
    pace = _pace(at, value.bits) if at else 0.0
    if at is None or not pace:
        return None
    every, first = 1 << value.bits, FROM_S + ((1 << value.bits) - at(FROM_S * S)) / pace
    before, after = (at(int((first + more / pace) * S)) for more in (-every / 8, every / 8))
    if every / pace > LONGEST_S or before - after < every / 2:
        return None
    return Wrap(value.bits, first, every / pace)


def _pace(at: Callable[[int], int], bits: int) -> float:
    """By how much it grows in a second; 0 where it does not."""
    every = 1 << bits
    seconds = next((s for s in (1.0, 1000.0) if at(int((FROM_S + s) * S)) != at(FROM_S * S)), 0.0)
    for _ in range(2):  # once more over half of its range: more exact
        if seconds:
            grown = (at(int((FROM_S + seconds) * S)) - at(FROM_S * S)) % every
            seconds, pace = (seconds * every / 2 / grown, grown / seconds) if grown else (0.0, 0.0)
    return pace if seconds else 0.0


def _sum_of(facts: Facts, value: Value) -> Wrap | None:
    """Whether a value is read from memory of so few bits to which somebody adds."""
    if not isinstance(value, Expr) or not NARROWEST <= value.bits <= NARROW:
        return None
    leaf = value.a if value.op == "low" and isinstance(value.a, Expr) else value
    place = place_in_memory(leaf)
    if place is None:
        return None
    added = any(
        place_in_memory(part) == place
        for written in facts.written.get(place, ())
        if isinstance(written, Expr) and written is not leaf
        for part in _all_leaves(facts, written)
    )
    return Wrap(value.bits) if added else None


def _all_leaves(facts: Facts, value: Expr) -> frozenset[Expr]:
    """What a value was made of, behind the name of a sum too."""
    return value.leaves | leaves_of(facts.made_of.get(value, 0))


def _queue(insert: Insert) -> str:
    return "a DSQ" if not isinstance(insert.dsq, int) else f"DSQ {dsq_text(insert.dsq)}"


def _span(seconds: float) -> str:
    for unit_s, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds:.3g} s"
