# SPDX-License-Identifier: Apache-2.0
"""Compositions at random: hypothesis' choice of them, and some by seed."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from bpf.composition import CHOICES, Composition, CompositionError


def composed(**choices: str) -> Composition | None:
    """The composition of these choices, None if they do not go together."""
    try:
        return Composition("mine", **choices)  # type: ignore[arg-type]
    except CompositionError:
        return None


compositions = (
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()})
    .map(lambda choices: composed(**choices))
    .filter(lambda made: made is not None)
)


def some_compositions(count: int, seed: int) -> list[Composition]:
    """So many different ones that work; each order, kind of queues and placement comes as often as it can."""
    chance, chosen = random.Random(seed), dict[Composition, None]()
    while len(chosen) < count:
        fixed = {name: CHOICES[name][len(chosen) % len(CHOICES[name])] for name in ("order", "queues")}
        made = composed(**{name: chance.choice(values) for name, values in CHOICES.items()} | fixed)
        if made:
            chosen[made] = None
    return list(chosen)
