# SPDX-License-Identifier: Apache-2.0
"""Lessons about kinds of workload: siblings grouped by their features, and what each policy came to on all of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Score
from tasks.planners.features import KIN, distance
from tasks.planners.traits import traits

Effect = Literal["helps", "harms", "breaks guards", "does little", "unsure"]
SURE = 2  # scores of one mind, from as many workloads or settings, before a lesson is more than one case


@dataclass(frozen=True, slots=True)
class Taught:
    """What a policy does to a kind of workload: median ratio over its best score on each, and how sure that is.

    `sure` is the share of its scores that say the same; `scores` are their ids, most telling first.
    """

    policy: str
    effect: Effect
    ratio: float
    sure: float
    workloads: tuple[str, ...]
    scores: tuple[str, ...]

    @property
    def words(self) -> str:
        """The same for people."""
        of = f"{len(self.scores)} scores on {', '.join(self.workloads)}"
        return f"{self.policy} {self.effect}: {self.ratio:.2f}x at the median, {100 * self.sure:.0f} % of {of} say so"


@dataclass(frozen=True, slots=True)
class Kind:
    """Workloads that are siblings, in words, with what was taught of them, what helps most first."""

    workloads: tuple[str, ...]
    words: str
    taught: tuple[Taught, ...]


def kinds_of(profiles: Sequence[WorkloadProfile], scores: Sequence[Score]) -> tuple[Kind, ...]:
    """The kinds that the lake knows, in the order in which their first workload came; without scores none is told.

    Each workload joins the first kind whose first workload is its sibling (features.KIN).
    """
    groups: list[list[WorkloadProfile]] = []
    for profile in {one.workload: one for one in profiles}.values():
        home = next((group for group in groups if distance(group[0], profile) < KIN), None)
        if home is None:
            groups.append([profile])
        else:
            home.append(profile)
    made = [_kind(group, scores) for group in groups]
    return tuple(kind for kind in made if kind.taught)


def _kind(group: Sequence[WorkloadProfile], scores: Sequence[Score]) -> Kind:
    names = tuple(profile.workload for profile in group)
    own = [score for score in scores if score.workload in names and score.attached and score.candidate]
    policies = list(dict.fromkeys(score.policy for score in own))
    taught = [_taught(policy, [score for score in own if score.policy == policy]) for policy in policies]
    return Kind(names, _words(group[0]), tuple(sorted(taught, key=lambda one: (-one.ratio, one.policy))))


def _taught(policy: str, scores: Sequence[Score]) -> Taught:
    effects = [effect_of(score) for score in scores]
    effect = max(dict.fromkeys(effects), key=effects.count)
    best = {score.workload: score for score in sorted(scores, key=lambda score: score.ratio.median)}
    ratio = math.exp(statistics.median(math.log(score.ratio.median) for score in best.values()))
    telling = [score.id for score, said in zip(scores, effects, strict=True) if said == effect]
    rest = [score.id for score in scores if score.id not in telling]
    sure = effects.count(effect) / len(effects) if len(effects) >= SURE else 0.5
    return Taught(policy, effect, ratio, sure, tuple(best), (*telling, *rest))


def effect_of(score: Score) -> Effect:
    """What one score says of its policy."""
    if score.over:
        return "breaks guards"
    if score.outcome == "win":
        return "helps"
    if score.outcome == "loss":
        return "harms"
    return "does little" if score.doubt in ("effect", "floor") else "unsure"


def _words(profile: WorkloadProfile) -> str:
    of = traits(profile)
    aim = f"{profile.aim}, " if profile.aim else ""
    return (
        f"{aim}{of.runnable / max(1, of.cpus):.1f} runnable tasks a CPU, largest task {of.tail:.1f}x the median, "
        f"{of.wakeups_per_cpu_s:.0f} wake-ups a CPU and second"
    )
