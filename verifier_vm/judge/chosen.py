# SPDX-License-Identifier: Apache-2.0
"""Moments, numbers, names and levels that an object's conditions tell apart, and the suite does not meet by itself.

Each condition is tried out: where what the suite has anyway takes it one way only, something is looked for that takes
it the other way. How long that takes is bounded; what is not found is not tried, and coverage says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from verifier_vm.judge.part import FULL_UPTIME_S, UPTIME_S, Exercise, Part
from verifier_vm.judge.suite import SuiteTier
from verifier_vm.object.asked import LEVEL_IDLE, Question, S, questions
from verifier_vm.object.facts import Facts
from verifier_vm.object.names import names_of

HOUR_S, DAY_S = 3600, 86_400
# Guests are kept that have been up for so long. An hour of rest is a third of a second of the host's, once.
KEPT_S = (9000, 6 * HOUR_S, 25 * HOUR_S, 8 * DAY_S + HOUR_S, 31 * DAY_S)
LONGEST_S = {"short": KEPT_S[3], "full": KEPT_S[4]}
MOST_GUESTS = 3
REST_S = 3 * HOUR_S  # no longer in a guest that is not kept
SUITE_S = 40.0  # of uptime that every guest has seen when it ends
SLEPT_S = 2.5  # the suite's own tasks do
LONGEST_NAP_S = {"short": 2 * HOUR_S, "full": 12 * HOUR_S}  # with the policy on an hour is a second and more
MOST_NAPS, MOST_CHOSEN, MOST_LEVELS = 3, 8, 4
STEP = 1.04  # between the moments that are looked at
MOST_TURNS = 2  # of one condition: what comes to both again and again is done with once
MARGIN_S = 60
MOST_QUESTIONS = 24
USUAL_PIDS, SOME_PIDS, MOST_PIDS = range(200, 1000), range(4000, 5024), 1 << 22
USUAL_LEVELS = (-5, 0, 5)
FEW = 16  # one in so many of the usual numbers is too few to count on


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be made: guests that have been up for `uptimes` (s), `naps` (s) with the policy on, tasks with these
    `pids`, `names` and `levels` (nice, 20 for SCHED_IDLE).
    """

    uptimes: tuple[int, ...] = ()
    naps: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()
    names: tuple[bytes, ...] = ()
    levels: tuple[int, ...] = ()


NOTHING = Chosen()


def choose(facts: Facts, tier: SuiteTier) -> Chosen:
    """What an object's conditions ask for in a tier."""
    asked = list(_some(questions(facts)))
    of_time = [one for one in asked if one.kind == "time"]
    known_s = UPTIME_S if tier == "short" else FULL_UPTIME_S
    return Chosen(
        _uptimes([one for one in of_time if not one.since], known_s + SUITE_S, LONGEST_S[tier]),
        _naps([one for one in of_time if one.since], LONGEST_NAP_S[tier]),
        _pids([one for one in asked if one.kind == "pid"]),
        names_of(facts.record, MOST_CHOSEN),
        _levels([one for one in asked if one.kind == "level"]),
    )


def _some(asked: Iterable[Question]) -> Iterator[Question]:
    """No more of one kind than are tried out in a second or two, whatever a stranger's object asks."""
    counts: dict[tuple[str, bool], int] = {}
    for one in asked:
        counts[one.kind, one.since] = counts.get((one.kind, one.since), 0) + 1
        if counts[one.kind, one.since] <= MOST_QUESTIONS:
            yield one


def exercises(chosen: Chosen, seconds: float) -> tuple[Exercise, ...]:
    """What chosen tasks are met in, each for `seconds`."""
    names = [
        f"name{i}_{k}={int.from_bytes(name[4 * k : 4 * k + 4], 'little')}"
        for i, name in enumerate(chosen.names, 1)
        for k in range((len(name) + 3) // 4)
    ]
    made = (
        Exercise("W31", "W31", seconds, tuple(f"pid{i}={pid}" for i, pid in enumerate(chosen.pids, 1))),
        Exercise("W31-names", "W31", seconds, tuple(names)),
        *(Exercise(f"W31-level{level:+d}", "W31", seconds, (f"level={level + 20}",)) for level in chosen.levels),
    )
    return tuple(one for one in made if one.args)


def guests(chosen: Chosen) -> Iterator[Part]:
    """Further guests: one for each time that they have been up, the first with the naps."""
    for at, uptime_s in enumerate(chosen.uptimes or ((0,) if chosen.naps else ())):
        naps = chosen.naps if at == 0 else ()
        asleep = [Exercise(f"W32-{nap}", "W32", 2.4, (f"nap_s={nap}",)) for nap in naps]
        kept_s = max((kept for kept in KEPT_S if kept <= uptime_s), default=0)
        awake = [Exercise("W32", "W32", 2.4)] if uptime_s else []  # longer than a stall takes to be found
        yield Part(
            f"up for {_span(uptime_s)}" if uptime_s else "asleep for as long as they say",
            (Exercise("W1", "W1", 0.3), *awake, *asleep),
            uptime_s=kept_s,
            rested_s=uptime_s - kept_s,
            deadline_s=240.0 + (uptime_s + sum(naps)) / 300,
            counts=False,
            asked_for=True,
        )


def _span(seconds: int) -> str:
    for unit_s, unit in ((DAY_S, "days"), (HOUR_S, "h")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds} s"


def _uptimes(asked: Sequence[Question], tried_s: float, longest_s: int) -> tuple[int, ...]:
    turns = _turns(asked, tried_s, longest_s)
    if not turns:
        return ()
    last = next((kept for kept in KEPT_S if kept > turns[-1]), None)
    found = [] if last is None or last > longest_s else [last]
    for after, before in pairwise(turns):
        kept = next((kept for kept in KEPT_S if after < kept < before - SUITE_S), None)
        moment = kept or int(after + min(MARGIN_S, (before - after) / 3)) + 1
        below = max((kept for kept in KEPT_S if kept <= moment), default=0)
        if moment + SUITE_S / 4 < before and moment - below <= REST_S:
            found.append(moment)
    return tuple(dict.fromkeys(found))[:MOST_GUESTS]


def _naps(asked: Sequence[Question], longest_s: int) -> tuple[int, ...]:
    turns = _turns(asked, SLEPT_S, longest_s)
    naps: list[int] = []
    for after, before in pairwise([*turns, float("inf")]):
        nap = int(after + min(max(1.0, after / 50), (before - after) / 2)) + 1
        if after < nap < before and sum(naps) + nap <= longest_s:
            naps.append(nap)
    return tuple([*naps[-1:], *naps[:-1]][:MOST_NAPS])


def _turns(asked: Iterable[Question], from_s: float, to_s: float) -> list[float]:
    """The moments, in order, from which on some condition comes to something else than just before."""
    return sorted({turn for one in asked for turn in islice(_turns_of(one, from_s, to_s), MOST_TURNS)})


def _turns_of(one: Question, from_s: float, to_s: float) -> Iterator[float]:
    early, before = from_s, one.answer(int(from_s * S))
    while early < to_s:
        late = min(early * STEP, to_s)
        now = one.answer(int(late * S))
        if now != before:
            yield _turn(one.answer, early, late, now=now)
        early, before = late, now


def _turn(answer: Callable[[int], bool], early: float, late: float, *, now: bool) -> float:
    while late - early > 0.01 * (1 + early / DAY_S):
        middle = (early + late) / 2
        if answer(int(middle * S)) == now:
            late = middle
        else:
            early = middle
    return round(late, 1)


def _pids(asked: Iterable[Question]) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for one in asked:
        met = sum(one.answer(pid) for pid in USUAL_PIDS)
        for way, count in ((True, met), (False, len(USUAL_PIDS) - met)):
            if count * FEW < len(USUAL_PIDS) and (pid := _pid(one, way=way)):
                found.setdefault(pid)
    return tuple(found)[:MOST_CHOSEN]


def _pid(one: Question, *, way: bool) -> int:
    """A number that the condition takes that way, those that it names first; 0 where none is found."""
    named = [constant & 0xFFFFFFFF for constant in sorted(one.constants)]
    near = [number + more for more in (0, 1, -1) for number in named]
    far = [1 << power for power in range(15, 22)]
    candidates: list[int] = [*near, *(number | bit for number in named for bit in far), *SOME_PIDS, *far]
    for own in (False, True):  # a guest's own tasks may have a small one
        for pid in candidates:
            if 2 < pid < MOST_PIDS and (pid < SOME_PIDS.start) is own and one.answer(pid) == way:
                return pid
    return 0


def _levels(asked: Iterable[Question]) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for one in asked:
        for way in (True, False):
            if any(one.answer(level) == way for level in USUAL_LEVELS):
                continue
            others = sorted((level for level in range(-20, 20) if one.answer(level) == way), key=abs)
            idle = [LEVEL_IDLE] if not others and one.answer(LEVEL_IDLE) == way else []
            for level in (*others[:1], *others[-1:], *idle):
                found.setdefault(level)
    return tuple(found)[:MOST_LEVELS]
