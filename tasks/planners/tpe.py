# SPDX-License-Identifier: Apache-2.0
"""Knob values that optuna's TPE proposes next, from all that was measured of a policy; the guards are its constraints.

TPE: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011; with constraints, Watanabe and Hutter,
"c-TPE", IJCAI 2023.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy_lake.knobs import bounds, settle
from policy_lake.model import Knob, KnobValue, Policy
from policy_lake.scores import Score
from tasks.planners.knobs import attempt

FEWEST = 3  # scores from which a density can be made; with fewer, small steps tell more
ASKED = 16  # proposals, of which those that nobody has tried are taken
WIDE = 16  # a knob whose range spans more than this factor is searched by its logarithm
_VIOLATED = "constraints"  # where optuna's samplers look for a trial's violations


def proposals(
    policy: Policy, scores: Sequence[Score], base: Mapping[str, KnobValue], *, fixed: frozenset[str], seed: int
) -> Iterator[dict[str, KnobValue]]:
    """Knob values worth trying, best first; none with fewer than FEWEST scores or no knob to search.

    Lists (names, times) and the knobs in `fixed` stay what they are in `base`. Equal arguments give equal proposals.
    """
    searched = [knob for knob in policy.knobs if knob.name not in fixed and space_of(knob) is not None]
    if len(scores) < FEWEST or not searched:
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: dict[str, Any] = {knob.name: space_of(knob) for knob in searched}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True,
            constraints_func=lambda trial: trial.system_attrs.get(_VIOLATED, (0.0,)),
        )  # fmt: skip
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for score in scores:
            study.add_trial(_told(policy, score, space))
        for _ in range(ASKED):
            asked = study.ask(space)
            yield settle(
                policy, {**base, **{name: _rounded(value, space[name]) for name, value in asked.params.items()}}
            )


def space_of(knob: Knob) -> Any:
    """Where optuna searches a knob; None for one that it cannot."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if knob.kind == "bool":
        return CategoricalDistribution((False, True))
    if knob.kind != "int" or knob.low is None or knob.high is None:
        return None
    low, high = bounds(knob)
    return IntDistribution(low, high, log=low >= 1 and high >= WIDE * low)


def _told(policy: Policy, score: Score, space: Mapping[str, Any]) -> Any:
    from optuna.trial import TrialState, create_trial

    values = dict(attempt(policy, score.knob_values)[1])
    over = max((math.log(times) for times in score.over.values()), default=-1.0)
    return create_trial(
        state=TrialState.COMPLETE,
        params={name: _within(values[name], place) for name, place in space.items()},
        distributions=dict(space),
        value=math.log(score.ratio.median),
        system_attrs={_VIOLATED: (over,)},
    )


def _rounded(value: KnobValue, place: Any) -> KnobValue:
    """A number with two significant digits, where the range has room: nobody reads more, and equals meet."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) < 100:
        return value
    unit = int(10 ** (len(str(abs(value))) - 2))
    return _within(round(value / unit) * unit, place)


def _within(value: KnobValue, place: Any) -> KnobValue:
    """A value that was measured before the knob's range became what it is counts at the range's end."""
    low, high = getattr(place, "low", None), getattr(place, "high", None)
    if low is None or high is None:
        return value
    return int(min(max(int(value), low), high))
