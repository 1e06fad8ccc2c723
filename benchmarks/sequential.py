# SPDX-License-Identifier: Apache-2.0
"""Looking at a score as often as one likes: an interval that holds at every look at once, and when to stop.

The usual 95 % interval is right once. Who measures until it excludes 1 is wrong far more often than one time in twenty;
an interval of this module may be looked at after every pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from policy_lake.scores import Pair

ALPHA = 0.05
# Precision of the prior on the standardised effect: at 0.25 an effect of twice the noise of one pair is expected. Any
# value keeps the guarantee; this one is tightest from 5 to 15 pairs, which is how many are usually looked at.
PRIOR_PRECISION = 0.25
POWER = 0.8

Decision = Literal["stop", "go on"]


@dataclass(frozen=True, slots=True)
class Look:
    """The interval of the ratio after some pairs, valid at every look; from 0 to infinity where they are too few."""

    low: float
    high: float


def log_ratios(pairs: Sequence[Pair], *, lower_is_better: bool) -> list[float]:
    """One logarithm a pair, above 0 where the policy is better. ValueError for what is not above 0."""
    signs = 1.0 if lower_is_better else -1.0
    return [signs * (math.log(pair.baseline) - math.log(pair.policy)) for pair in pairs]


def look(logs: Sequence[float], alpha: float = ALPHA) -> Look:
    """The interval of exp(mean) of these logarithms that may be taken at any time.

    The t-statistic's mixture martingale over a normal prior of the standardised effect, with the right Haar prior on
    the variance (Lai, "On confidence sequences", Annals of Statistics 4, 1976; Wang and Ramdas, "Anytime-valid
    t-tests", 2023): it assumes normal logarithms of unknown variance, and nothing of when one stops. ValueError below
    two.
    """
    count = len(logs)
    if count < 2:
        raise ValueError(f"an interval needs at least 2 pairs, not {count}")
    critical = _critical_t(count, alpha)
    if math.isinf(critical):
        return Look(0.0, math.inf)
    mean, reach = float(np.mean(logs)), critical * float(np.std(logs, ddof=1)) / math.sqrt(count)
    return Look(math.exp(mean - reach), math.exp(mean + reach))


def detectable(logs: Sequence[float]) -> float:
    """The minimum detectable effect of that many pairs with the noise measured in them, as a ratio above 1.

    A true ratio of that size would give a 95 % interval without 1 in 80 % of all repetitions (two-sided t-test).
    ValueError below two pairs.
    """
    from scipy.special import stdtrit  # a part of scipy that is quick to import

    count = len(logs)
    if count < 2:
        raise ValueError(f"a noise needs at least 2 pairs, not {count}")
    errors = float(stdtrit(count - 1, 0.975) + stdtrit(count - 1, POWER))
    return math.exp(errors * float(np.std(logs, ddof=1)) / math.sqrt(count))


def decide(logs: Sequence[float], *, most: int, min_effect: float = 0.02) -> Decision:
    """Whether more pairs are worth their time: while the effect looks worth having and is not yet sure.

    Any rule may be used with an interval that is valid at every look; this one spends nothing on what does not look
    better than the baseline by `min_effect`.
    """
    interval = look(logs)
    sure = interval.low > 1 or interval.high < 1
    promising = float(np.median(logs)) >= math.log1p(min_effect)
    return "go on" if promising and not sure and len(logs) < most else "stop"


def _critical_t(count: int, alpha: float) -> float:
    """The t at which the martingale reaches 1 / alpha; infinite where so few pairs can never be enough."""
    nu, c = count - 1, PRIOR_PRECISION
    # ((1 + t2/nu) / (1 + c t2 / ((n + c) nu)))^(n/2) * sqrt(c / (n + c)) = 1 / alpha, solved for t2.
    target = (math.sqrt((count + c) / c) / alpha) ** (2.0 / count)
    slack = 1 - target * c / (count + c)
    return math.sqrt((target - 1) * nu / slack) if slack > 0 else math.inf
