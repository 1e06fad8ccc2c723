# SPDX-License-Identifier: Apache-2.0
"""A situation that a policy fails in, made small: each of its dimensions by bisection, its lists by delta debugging.

Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002. That less fails less is
assumed for speed alone: what comes out was seen to fail, whatever else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from policy_lake.errors import InputError
from policy_lake.topology import Topology
from verifier_vm.judge.case import SIZES, Case, exercise_of

MOST_GUESTS = 40
# Seconds that are told more easily than exact ones, and some eight of them a decade would find little more.
SECONDS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0)


def minimized(case: Case, fails: Callable[[Case], bool], *, most: int = MOST_GUESTS) -> tuple[Case, int]:
    """The smallest case found that fails, beginning at one that does, and how many were tried.

    `fails` starts a guest, for each case at most once; after `most` of them the search ends with what it has.
    """
    search = _Search(case, fails, most)
    with suppress(_SpentError):
        before = None
        while before != search.best:
            before = search.best
            for shrink in (_fewer_cpus, _younger, _fewer_workloads, _shorter, _fewer_tasks, _fewer_words):
                shrink(search)
    return search.best, len(search.tried)


class _SpentError(Exception):
    """As many guests as there may be were started."""


@dataclass(slots=True)
class _Search:
    """Whether a case fails, which is asked of what is smaller than `best` only: one that does is the best then."""

    best: Case
    fails: Callable[[Case], bool]
    most: int
    tried: dict[Case, bool] = field(default_factory=dict)

    def __call__(self, case: Case) -> bool:
        if case not in self.tried:
            if len(self.tried) == self.most:
                raise _SpentError
            self.tried[case] = self.fails(case)
        if self.tried[case]:
            self.best = case
        return self.tried[case]


def _bisect(search: _Search, count: int, made: Callable[[int], Case]) -> None:
    """Try `count` cases that grow from the first on: that one, and then the middle of what is not settled."""
    if count <= 0 or search(made(0)):
        return
    passes, fails = 0, count
    while fails - passes > 1:
        middle = (passes + fails) // 2
        if search(made(middle)):
            fails = middle
        else:
            passes = middle


def _without_more(search: _Search, items: Sequence[str], made: Callable[[tuple[str, ...]], Case]) -> None:
    """Delta debugging (ddmin): parts of the list, then the list without one of them, and finer while none fails."""
    left, count = tuple(items), 2
    while len(left) > 1:
        parts = [left[len(left) * i // count : len(left) * (i + 1) // count] for i in range(count)]
        others = [tuple(item for item in left if item not in part) for part in parts] if count > 2 else []
        for index, less in enumerate((*parts, *others)):
            if search(made(less)):
                left, count = less, 2 if index < len(parts) else count - 1
                break
        else:
            if count == len(left):
                return
            count = min(2 * count, len(left))


def _fewer_cpus(search: _Search) -> None:
    """Plain CPUs, from one on; where it takes caches, threads or nodes, fewer of these, and then fewer CPUs."""
    on = search.best.topology

    def try_all(topologies: Sequence[Topology]) -> None:
        case = search.best
        _bisect(search, len(topologies), lambda index: replace(case, topology=topologies[index]))

    plain = Topology(on.cpus)
    try_all([Topology(cpus) for cpus in range(1, on.cpus)] + ([plain] if on != plain else []))
    if on in (plain, Topology()) or search.best.topology != on:
        return
    for name in ("nodes", "llcs", "smt"):
        if getattr(search.best.topology, name) > 1:
            try_all(list(_valid(search.best.topology, **{name: 1})))
    now = search.best.topology
    try_all([less for cpus in range(1, now.cpus) for less in _valid(now, cpus=cpus)])


def _valid(on: Topology, **less: int) -> Iterator[Topology]:
    with suppress(InputError):
        yield replace(on, **less)


def _younger(search: _Search) -> None:
    """A guest that has just booted: each other age is a guest that has to be made first."""
    if search.best.uptime_s:
        search(replace(search.best, uptime_s=0))


def _fewer_workloads(search: _Search) -> None:
    case = search.best

    def made(names: tuple[str, ...]) -> Case:
        kept = "+".join(names)
        return _with(case, kept, _of(kept, case.exercise.args))

    _without_more(search, case.exercise.workloads.split("+"), made)


def _shorter(search: _Search) -> None:
    case, one = search.best, search.best.exercise
    less = [seconds for seconds in SECONDS if seconds < one.seconds]

    def made(index: int) -> Case:
        return replace(case, exercise=replace(one, seconds=less[index], base_s=min(one.base_s, less[index])))

    _bisect(search, len(less), made)


def _fewer_tasks(search: _Search) -> None:
    """Each number of tasks, from one on."""
    for name, now in dict(_sizes(search.best)).items():
        _bisect(search, now - 1, partial(_with_tasks, search.best, name))


def _with_tasks(case: Case, name: str, index: int) -> Case:
    args = (word for word in case.exercise.args if _name(word) != name)
    return _with(case, case.exercise.workloads, (*args, f"{name}={index + 1}"))


def _fewer_words(search: _Search) -> None:
    """Numbers that are none of tasks, left to what the program takes without a word: none of them, or as few as do."""
    sizes = dict(_sizes(search.best))
    words = [word for word in search.best.exercise.args if _name(word) not in sizes]
    case = search.best

    def made(kept: tuple[str, ...]) -> Case:
        args = tuple(word for word in case.exercise.args if word not in words or word in kept)
        return _with(case, case.exercise.workloads, args)

    if words and not search(made(())):
        _without_more(search, words, made)


def _with(case: Case, workloads: str, args: tuple[str, ...]) -> Case:
    one = case.exercise
    return replace(case, exercise=exercise_of(workloads, one.seconds, args, one.base_s))


def _sizes(case: Case) -> Iterator[tuple[str, int]]:
    """How many tasks there are now, by the word for them."""
    given = dict(word.partition("=")[::2] for word in case.exercise.args)
    for workload in case.exercise.workloads.split("+"):
        for name, count, by_cpu in SIZES.get(workload, ()):
            spread = by_cpu and not (name == "each" and "at" in given)  # `at` has them all on one CPU
            yield name, int(float(given.get(name, count * case.topology.cpus if spread else count)))


def _of(workloads: str, args: tuple[str, ...]) -> tuple[str, ...]:
    """Without the sizes of workloads that are gone."""
    sizes = {name for known in SIZES.values() for name, _, _ in known}
    kept = {name for workload in workloads.split("+") for name, _, _ in SIZES.get(workload, ())}
    return tuple(word for word in args if (name := _name(word)) not in sizes or name in kept)


def _name(word: str) -> str:
    return word.partition("=")[0]
