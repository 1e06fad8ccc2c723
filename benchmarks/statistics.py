# SPDX-License-Identifier: Apache-2.0
"""What may be said of pairs: a ratio with an interval, an outcome and why there is none, the order to measure in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy_lake.events import Role
from policy_lake.scores import Doubt, Outcome, Pair, Ratio, Score

RESAMPLES = 10_000
MIN_EFFECT = 0.02
# Student's t, two-sided 95 %, by number of pairs (degrees of freedom + 1).
_T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


def ratio(pairs: Sequence[Pair], *, lower_is_better: bool = True, seed: int = 0) -> Ratio:
    """Median of the pairs' ratios, above 1 where the policy is better, with a seeded 95 % confidence interval.

    The interval is the percentile bootstrap of the median, 10 000 resamples (Efron and Tibshirani, An Introduction to
    the Bootstrap, 1993, ch. 13). Below six pairs that is at most the range of the sample, which holds the true median
    only with probability 1 - 2^(1-n) (three pairs: 75 %), so there it is widened to Student's t interval of the
    logarithms. All is done on logarithms: exchanging the roles inverts the result, and between two middle values lies
    their geometric mean. Raises ValueError on fewer than two pairs, and on a value that is not finite and above 0.
    """
    if len(pairs) < 2:
        raise ValueError(f"an interval needs at least 2 pairs, not {len(pairs)}")
    values = np.array([(pair.baseline, pair.policy) for pair in pairs], dtype=np.float64)
    for index, row in enumerate(values):
        if not (np.isfinite(row).all() and (row > 0).all()):
            raise ValueError(f"pair {index}: {row[0]:g} and {row[1]:g} must be finite and above 0")
    logs = np.log(values[:, 0]) - np.log(values[:, 1])
    if not lower_is_better:
        logs = -logs
    middle = float(np.median(logs))
    low, high = _interval(logs, seed)
    return Ratio(median=float(np.exp(middle)), ci95=(float(np.exp(min(low, middle))), float(np.exp(max(high, middle)))))


def _interval(logs: NDArray[np.float64], seed: int) -> tuple[float, float]:
    count = len(logs)
    picks = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    low, high = (float(end) for end in np.quantile(np.median(logs[picks], axis=1), (0.025, 0.975)))
    if count in _T_95:
        mean, reach = float(logs.mean()), _T_95[count] * float(logs.std(ddof=1)) / count**0.5
        low, high = min(low, mean - reach), max(high, mean + reach)
    return low, high


def outcome(ratio: Ratio, *, floor: float = 1.0, min_effect: float = MIN_EFFECT) -> tuple[Outcome, Doubt]:
    """A win or a loss, or inconclusive and why: only what excludes 1 and lies beyond `floor` and `min_effect` counts.

    `ratio.ci95` is the interval to decide by. `floor` is the ratio by which equal runs differ, at least 1. An effect
    counts alike both ways: a median of 1 + e, or of 1 / (1 + e). What is not finite decides nothing.
    """
    low, high = ratio.ci95
    if not np.isfinite([low, high, ratio.median]).all() or low <= 1 <= high:
        return "inconclusive", "interval"
    if not _beyond(ratio.median, 1 + min_effect):
        return "inconclusive", "effect"
    if not _beyond(ratio.median, floor):
        return "inconclusive", "floor"
    return ("win", "") if low > 1 else ("loss", "")


def outcome_text(score: Score) -> str:
    """The outcome for people, and of an inconclusive one why: `inconclusive (the difference is below 2 %)`."""
    why = doubt_text(score)
    return f"{score.outcome} ({why})" if why else score.outcome


def doubt_text(score: Score) -> str:
    """Why a score is inconclusive: too noisy, or a difference too small to count; empty where it does not say.

    An interval that includes 1 says that nothing happened only if it is narrow.
    """
    least = f"{100 * MIN_EFFECT:g} %"
    if score.doubt == "behind":
        return f"others of its run are surely ahead, so it was measured no further than {len(score.pairs)} pairs"
    if score.doubt == "floor":
        return f"the difference is within the A/A floor of {percent(score.floor)}"
    if score.doubt == "effect":
        return f"the difference is below {least}"
    if score.doubt == "interval" and is_narrow(score):
        return f"no difference of {least} or more: the anytime-valid 95 % CI is that narrow"
    if score.doubt == "interval":
        effect = f"the minimum detectable effect is {percent(score.detectable)}"
        return f"too noisy: the anytime-valid 95 % CI includes 1, {effect}"
    return ""


def is_narrow(score: Score) -> bool:
    """Whether its interval has no effect that counts in it: more runs would settle nothing."""
    return score.anytime95 is not None and not any(_beyond(end, 1 + MIN_EFFECT) for end in score.anytime95)


def doubt_word(score: Score) -> str:
    """The same in two or three words, for a picture; empty where it does not say."""
    words: dict[Doubt, str] = {
        "": "",
        "interval": "no difference" if is_narrow(score) else "interval holds 1",
        "effect": f"below {100 * MIN_EFFECT:g} %",
        "floor": f"within floor {percent(score.floor)}",
        "behind": "others are ahead",
    }
    return words[score.doubt]


def percent(ratio: float | None) -> str:
    """How far a ratio above 1 is from 1: `0.6 %`."""
    return "unknown" if ratio is None else f"{100 * (ratio - 1):.1f} %"


def _beyond(median: float, limit: float) -> bool:
    return median >= limit or median <= 1 / limit


def floor_of(ratio: Ratio) -> float:
    """What two runs of the same thing differ by, from their ratio: the end of its interval that is further from 1."""
    return max(ratio.ci95[1], 1 / ratio.ci95[0])


def orders(pairs: int, roles: Sequence[Role] = ("baseline", "policy")) -> tuple[tuple[Role, ...], ...]:
    """Who goes first in each pair, taking turns, so that a drift of the machine (heat, load) favours nobody."""
    turns = (index % len(roles) for index in range(pairs))
    return tuple((*roles[turn:], *roles[:turn]) for turn in turns)


def four_digits(value: float) -> str:
    """A figure for people: four significant digits, and no exponent where it has ten digits or fewer."""
    return f"{float(f'{value:.4g}'):.10g}"
