# SPDX-License-Identifier: Apache-2.0
"""Racing: of candidates measured side by side, those go on that could still be the best of them.

Runs are the unit. After a few pairs each asks whether it is worth more; who is surely behind the leader is not, and its
runs go to others. That spends pairs, and claims nothing: what a score says is decided by its own interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.statistics import MIN_EFFECT
from tasks.trial.spec import Standing

# Student's t at two pairs would let nobody fall behind: the spread of so few is itself uncertain. But the candidates of
# one workload have nearly one noise, so their spreads are pooled, and two standard errors count.
REACH = 2.0
WORTH = math.log1p(MIN_EFFECT)  # what counts as a win: who surely stays below it is measured no further, whoever leads
LEAST_SPREAD = math.log1p(0.005)  # of one pair: in virtual time equal pairs differ by less, and nobody is that sure


@dataclass(frozen=True, slots=True)
class Race:
    """Candidates of one workload; `to_beat` is the ratio of the best that is known already, 0 if nothing is.

    Who breaks a guard is held against its like only, and never leads those who keep theirs.
    """

    to_beat: float = 0.0

    def going_on(self, asked: Mapping[int, Standing]) -> set[int]:
        """The indices of those who are worth more pairs; of each group, guards kept or broken, at least one is."""
        spread = pooled_spread(asked)
        on: set[int] = set()
        for breaks in (False, True):
            group = {index: standing for index, standing in asked.items() if standing.breaks is breaks}
            on |= _ahead(group, spread, self.to_beat if not breaks else 0.0)
        return on


@dataclass(frozen=True, slots=True)
class Repeat:
    """In place of a race where its outcome is known: everybody gets as many pairs as a score has that is repeated."""

    pairs: int

    def going_on(self, asked: Mapping[int, Standing]) -> set[int]:
        """The indices of those who have fewer."""
        return {index for index, standing in asked.items() if len(standing.logs) < self.pairs}


def pooled_spread(asked: Mapping[int, Standing]) -> float:
    """The standard deviation of one pair's log ratio, pooled over all who have two pairs or more."""
    squares = sum(float(np.sum((np.array(s.logs) - np.mean(s.logs)) ** 2)) for s in asked.values() if len(s.logs) > 1)
    freedom = sum(len(standing.logs) - 1 for standing in asked.values() if len(standing.logs) > 1)
    return max(LEAST_SPREAD, math.sqrt(squares / freedom)) if freedom else math.inf


def _ahead(group: Mapping[int, Standing], spread: float, to_beat: float) -> set[int]:
    if not group:
        return set()
    middles = {index: float(np.mean(standing.logs)) for index, standing in group.items()}
    errors = {index: REACH * spread / math.sqrt(len(standing.logs)) for index, standing in group.items()}
    leader = max(middles, key=lambda index: (middles[index], -index))
    line = max(middles[leader] - errors[leader], math.log(to_beat) if to_beat > 0 else WORTH, WORTH)
    return {index for index in group if middles[index] + errors[index] >= line} | {leader}
