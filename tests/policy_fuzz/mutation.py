# SPDX-License-Identifier: Apache-2.0
"""What a mutation is: one fault put into a sound policy, the bug that it is, and where a long run cannot show it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from corpus import BUGS

from policy_fuzz.compose import compose
from policy_fuzz.designs import Design
from policy_fuzz.program import NoSuchLineError, Program

# What the kernel's own BPF verifier refuses is in docs/bugs.md, too, but has no number there.
REFUSED = "BPF"
Make = Callable[[Program, Design], Program]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One kind of fault. `shows`: what a long run sees of it; `unseen(design)` says why none does, or nothing.

    With a `need` (a word of `--require`) only hosts with that need reject it. `only` is where it is a fault at all.
    """

    kind: str
    breaks: str
    shows: str
    make: Make
    need: str
    only: Callable[[Design], bool]
    unseen: Callable[[Design], str]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A policy with one fault, and the sound one that it was made from."""

    mutation: Mutation
    design: Design
    source: str
    unseen: str


MUTATIONS: dict[str, Mutation] = {}


def mutation(
    kind: str, breaks: str, shows: str, *, need: str = "", only: Callable[[Design], bool] = lambda _: True,
    unseen: Callable[[Design], str] = lambda _: "",
) -> Callable[[Make], Make]:  # fmt: skip
    """Register what makes a kind of mutant; ValueError for a kind labelled twice, or a label that is no bug's."""

    def register(make: Make) -> Make:
        if kind in MUTATIONS:
            raise ValueError(f"{kind} is labelled twice")
        if breaks not in BUGS and breaks != REFUSED:
            raise ValueError(f"{kind}: {breaks} is no bug of docs/bugs.md")
        MUTATIONS[kind] = Mutation(kind, breaks, shows, make, need, only, unseen)
        return make

    return register


def mutate(change: Mutation, design: Design) -> Mutant | None:
    """The mutant of a design, or None where the design has nothing for this kind to break."""
    if not change.only(design):
        return None
    try:
        made = change.make(compose(design), design)
    except NoSuchLineError:
        return None
    return Mutant(change, design, made.source(str(design)), change.unseen(design))


def some_mutants(designs: Sequence[Design], count: int, seed: int, kinds: Sequence[str] = ()) -> tuple[Mutant, ...]:
    """So many with a fault that a long run can show, each kind as often as any other, as far as designs have it."""
    rows = [_visible(MUTATIONS[kind], designs, seed) for kind in kinds or MUTATIONS]
    chosen: dict[str, Mutant] = {}
    while rows and len(chosen) < count:
        for row in tuple(rows):
            one = next(row, None)
            if one is None:
                rows.remove(row)
            elif len(chosen) < count:
                chosen.setdefault(one.source, one)
    return tuple(chosen.values())


def _visible(change: Mutation, designs: Sequence[Design], seed: int) -> Iterator[Mutant]:
    # By each design alone, so that one more or less leaves the others' mutants as they are.
    for design in sorted(designs, key=lambda design: random.Random(f"{seed} {change.kind} {design}").random()):
        made = mutate(change, design)
        if made is not None and not made.unseen:
            yield made


def unseen_kinds(designs: Sequence[Design]) -> dict[str, dict[str, int]]:
    """Of every kind that some design hides: why, and on how many of the designs."""
    found: dict[str, dict[str, int]] = {}
    for kind, change in MUTATIONS.items():
        for design in designs:
            made = mutate(change, design)
            if made is not None and made.unseen:
                reasons = found.setdefault(kind, {})
                reasons[made.unseen] = reasons.get(made.unseen, 0) + 1
    return found
