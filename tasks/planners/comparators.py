# SPDX-License-Identifier: Apache-2.0
"""What the embedded planner has to beat: planners that know less, behind the same protocol and measured the same way.

None of them reads the profile, and none reads another run's scores.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from policy_lake.knobs import bounds, settle
from policy_lake.model import KnobValue, Policy, PolicyPlan
from tasks.planners.protocol import PlanContext
from tasks.planners.selection import measured, select_plans
from tasks.planners.tpe import proposals

CONTROL = "eevdf"  # the library's policy by the kernel's own rules: what the framework itself costs
DRAWS = 64  # tries for something new, where what is drawn may have been tried
EXPLORE = 0.25  # of the bandit's upper confidence bound, in logarithms of a ratio: what an untried arm may hide


@dataclass(frozen=True, slots=True)
class RandomPlanner:
    """Any policy with any knob values, uniformly; numbers over a wide range by their logarithm."""

    seed: int
    name: str = "random"

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """As many as are wanted."""
        chance = chance_of(self.seed, context)

        def drawn() -> Iterator[PolicyPlan]:
            for _ in range(DRAWS):
                policy = chance.choice(context.policies)
                yield PolicyPlan(policy.id, draw(policy, chance), "drawn at random", self.name)

        return select_plans(drawn(), context) if context.policies else []


@dataclass(frozen=True, slots=True)
class StockPlanner:
    """Every policy as it is, in the order in which it was retrieved, and no more."""

    only: str = ""
    name: str = "stock"

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """Those that were not tried; of `only` no other."""
        wanted = [policy for policy in context.policies if self.only in ("", policy.id)]
        return select_plans((PolicyPlan(one.id, {}, "as it is", self.name) for one in wanted), context)


@dataclass(frozen=True, slots=True)
class KnobPlanner:
    """TPE over the knobs of one policy: of that which the words of the workload found first, or is named."""

    seed: int
    only: str = ""
    name: str = "optuna"

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """Its defaults, then random values until there is enough for TPE, then what TPE proposes."""
        policy = next((one for one in context.policies if self.only in ("", one.id) and one.knobs), None)
        if policy is None:
            return []
        chance = chance_of(self.seed, context)
        scores = [score for score in measured(context) if score.policy == policy.id]

        def proposed() -> Iterator[dict[str, KnobValue]]:
            yield {}
            yield from proposals(policy, scores, {}, fixed=frozenset(), seed=self.seed + len(scores))
            yield from (draw(policy, chance) for _ in range(DRAWS))

        return select_plans((PolicyPlan(policy.id, values, "TPE", self.name) for values in proposed()), context)


@dataclass(frozen=True, slots=True)
class BanditPlanner:
    """One arm a policy, pulled by UCB1 (Auer et al., Machine Learning 47, 2002); each pull with other knob values."""

    seed: int
    name: str = "bandit"

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """The arms with the highest upper bounds; the first pull of each is its defaults."""
        chance = chance_of(self.seed, context)
        pulls: dict[str, list[float]] = {policy.id: [] for policy in context.policies}
        for score in measured(context):
            pulls[score.policy].append(math.log(score.ratio.median))
        for candidate, _ in context.rejections:
            pulls.get(candidate.policy, []).append(-math.log(2))
        total = max(1, sum(map(len, pulls.values())))

        def bound(policy: Policy) -> float:
            seen = pulls[policy.id]
            return sum(seen) / len(seen) + EXPLORE * math.sqrt(2 * math.log(total) / len(seen)) if seen else math.inf

        def pulled() -> Iterator[PolicyPlan]:
            for policy in sorted(context.policies, key=bound, reverse=True):
                yield PolicyPlan(policy.id, draw(policy, chance) if pulls[policy.id] else {}, "UCB1", self.name)

        return select_plans(pulled(), context)


def draw(policy: Policy, chance: random.Random) -> dict[str, KnobValue]:
    """Knob values at random; lists stay at their defaults, for nobody draws a name."""
    drawn: dict[str, KnobValue] = {}
    for knob in policy.knobs:
        if knob.kind == "bool":
            drawn[knob.name] = chance.random() < 0.5
        elif knob.kind == "int" and knob.low is not None and knob.high is not None:
            low, high = bounds(knob)
            span = math.log1p(high - low)
            drawn[knob.name] = min(high, low + round(math.expm1(chance.random() * span)))
    return settle(policy, drawn)


def chance_of(seed: int, context: PlanContext) -> random.Random:
    """Chance that is a function of a seed and of how far the run is."""
    return random.Random(f"{seed} {len(context.scores)} {len(context.rejections)} {context.iteration}")
