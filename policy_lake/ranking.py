# SPDX-License-Identifier: Apache-2.0
"""Which of several scores is the best: one order, for the lake, the planners, the report and the command line."""

from __future__ import annotations

from collections.abc import Iterable

from policy_lake.scores import Score


def rank(score: Score) -> tuple[bool, float, float, str]:
    """The order of scores of one workload, best last: see `best`."""
    return score.outcome == "win", score.ratio.ci95[0], score.ratio.median, score.id


def bests(scores: Iterable[Score]) -> dict[str, tuple[Score, ...]]:
    """Each policy's best score on each workload with so many CPUs in each size, by policy, highest ratio first.

    Of a policy that breaks a guard wherever it was measured there is none.
    """
    found: dict[tuple[str, str, int, str], Score] = {}
    for score in scores:
        if score.attached and score.candidate and not score.over:
            place = (score.policy, score.workload, score.cpus, score.tier)
            found[place] = max(found.get(place, score), score, key=rank)
    by_policy: dict[str, list[Score]] = {}
    for score in sorted(found.values(), key=lambda score: (-score.ratio.median, score.id)):
        by_policy.setdefault(score.policy, []).append(score)
    return {policy: tuple(own) for policy, own in by_policy.items()}


def best(scores: Iterable[Score]) -> Score | None:
    """The best of the scores whose policy was attached throughout and keeps its guards; None if there is none.

    Wins come first: what is not sure is no reason to prefer a policy. Then the lower end of the 95 % interval counts,
    not the median: of many medians the highest is likely the luckiest (the winner's curse), and the lower end is what
    can be relied upon. Median and id decide between equals, so that the answer does not depend on the order of scores.
    """
    return max((score for score in scores if score.attached and not score.over), key=rank, default=None)
