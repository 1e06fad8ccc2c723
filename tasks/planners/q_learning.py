# SPDX-License-Identifier: Apache-2.0
"""Tabular Q-learning over a policy's knobs: the comparator for the paper's "why not reinforcement learning"."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from policy_lake.model import Knob, KnobValue, Policy, PolicyPlan
from policy_lake.scores import Score
from tasks.planners.comparators import chance_of
from tasks.planners.protocol import PlanContext
from tasks.planners.refine import neighbours
from tasks.planners.selection import measured, select_plans
from tasks.planners.surrogate import values_of

LEARNING, DISCOUNT, GREED = 0.5, 0.5, 0.7  # with the rest of the greed it moves at random
Move = tuple[str, float]


@dataclass(frozen=True, slots=True)
class QPlanner:
    """Tabular Q-learning over one policy's knobs: a state is the last change and whether it helped, an action the next.

    What the paper's comparator did: it moves one knob at a time from where it is, and learns which moves paid.
    """

    seed: int
    only: str = ""
    name: str = "q-learning"

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """Its defaults, then moves from the last setting that was measured."""
        policy = next((one for one in context.policies if self.only in ("", one.id) and one.knobs), None)
        if policy is None:
            return []
        chance = chance_of(self.seed, context)
        walked = [score for score in measured(context) if score.policy == policy.id]
        if not walked:
            return select_plans([PolicyPlan(policy.id, {}, "Q-learning begins here", self.name)], context)
        table = learned(policy, walked)
        now = values_of(policy, walked[-1]) or {}
        moves = sorted(_moves(policy), key=lambda move: -table.get(move, 0.0))
        if chance.random() > GREED:
            chance.shuffle(moves)

        def walk() -> Iterator[PolicyPlan]:
            for name, factor in (*moves, *((n, f * f) for n, f in moves)):
                for knob in (one for one in policy.knobs if one.name == name):
                    value = _moved(knob, now.get(name, 0), factor)
                    yield PolicyPlan(policy.id, {**_plain(policy, now), name: value}, "Q-learning", self.name)

        return select_plans(walk(), replace(context, limit=min(context.limit, 2)))


def learned(policy: Policy, walked: list[Score]) -> dict[Move, float]:
    """The table after these settings, one after another: each move is rewarded with what it added to the log ratio."""
    table: dict[Move, float] = {}
    for before, after in pairwise(walked):
        old, new = values_of(policy, before), values_of(policy, after)
        if old is None or new is None:
            continue
        reward = math.log(after.ratio.median) - math.log(before.ratio.median)
        ahead = max(table.values(), default=0.0)
        for knob in policy.knobs:
            if old[knob.name] != new[knob.name] and (move := _move(knob, old[knob.name], new[knob.name])):
                known = table.get(move, 0.0)
                table[move] = known + LEARNING * (reward + DISCOUNT * ahead - known)
    return table


def _moves(policy: Policy) -> list[Move]:
    return [(knob.name, factor) for knob in policy.knobs if knob.kind in ("int", "bool") for factor in (2.0, 0.5)]


def _move(knob: Knob, old: KnobValue, new: KnobValue) -> Move | None:
    if knob.kind not in ("int", "bool"):
        return None
    return knob.name, 2.0 if float(new) > float(old) else 0.5


def _moved(knob: Knob, value: KnobValue, factor: float) -> KnobValue:
    near = neighbours(knob, value, max(factor, 1 / factor))
    more = [one for one in near if float(one) > float(value)]
    less = [one for one in near if float(one) < float(value)]
    chosen = (more or less) if factor > 1 else (less or more)
    return chosen[0] if chosen else value


def _plain(policy: Policy, values: dict[str, KnobValue]) -> dict[str, KnobValue]:
    kinds = {knob.name: knob.kind for knob in policy.knobs}
    return {name: value for name, value in values.items() if kinds.get(name) in ("int", "bool")}
