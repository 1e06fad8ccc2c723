# SPDX-License-Identifier: Apache-2.0
"""How sure a result is, in words: intervals, minimum detectable effect, A/A floor, guards, the Pareto front."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.pareto import front
from benchmarks.statistics import doubt_text, four_digits, outcome_text, percent
from policy_lake import ranking
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import Ratio, Score
from policy_lake.tuned import Ablation
from tasks.plan import describe
from tasks.run.spent import spent_lines

MATTERS = 0.05  # of the gain: what takes less of it away is said to matter not


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate and what became of it: a score, a rejection, or a failure of ours in one line."""

    candidate: Candidate
    score: Score | None = None
    rejection: Rejection | None = None
    failure: str = ""

    @property
    def result(self) -> str:
        """What became of it, in one phrase."""
        return f"{self.ratio}, {self.outcome_and_why}" if self.score is not None else self.outcome_and_why

    @property
    def ratio(self) -> str:
        """Its ratio with the interval; empty where there is none."""
        return ratio_text(self.score.ratio) if self.score is not None else ""

    @property
    def outcome(self) -> str:
        """One or a few words: rejected at a stage (a guard's, too), win, loss, inconclusive, no result."""
        if self.rejection is not None:
            return f"rejected at {self.rejection.stage}"
        return self.score.outcome if self.score is not None else "no result"

    @property
    def why(self) -> str:
        """Why it is rejected, inconclusive or without a result; empty for a win or a loss."""
        if self.rejection is not None:
            return self.rejection.reason
        return doubt_text(self.score) if self.score is not None else self.failure or "not run"

    @property
    def outcome_and_why(self) -> str:
        """Both in one phrase."""
        if self.rejection is None and self.score is not None:
            return outcome_text(self.score)
        return f"{self.outcome}: {self.why}"


def ratio_text(ratio: Ratio) -> str:
    """A ratio with its interval: `1.31x [1.29, 1.33]`."""
    return f"{ratio.median:.2f}x [{ratio.ci95[0]:.2f}, {ratio.ci95[1]:.2f}]"


def certainty_lines(score: Score) -> list[str]:
    """How sure a score is: interval, minimum detectable effect and A/A floor, the guards, the second control."""
    lines = []
    if score.anytime95:
        low, high = score.anytime95
        lines.append(f"anytime-valid 95 % CI: [{low:.2f}, {high:.2f}] ({len(score.pairs)} pairs)")
    if score.detectable:
        floor = f"; A/A floor: {percent(score.floor)}" if score.floor else ""
        lines.append(f"minimum detectable effect: {percent(score.detectable)}{floor}")
    for metric, ratio in score.ratios.items():
        lines.append(f"{metric}: {ratio_text(ratio)}")
    if score.control:
        control = score.control
        against = f"against {control.policy} ({four_digits(control.median)} {score.unit})"
        lines.append(f"{against}: {ratio_text(control.ratio)}, {control.outcome}")
    return [*lines, *spent_lines(score)]


def certainty(best: Score | None, tried: Iterable[Tried], paid: Sequence[Ablation] = ()) -> list[str]:
    """What a report says below its best line."""
    tried = list(tried)
    shown = best or lead_of(tried)  # where nothing may run, what a guard's limit costs is the user's to weigh
    lines = certainty_lines(shown) if shown is not None else []
    front = front_lines([attempt.score for attempt in tried if attempt.score is not None])
    why = [paid_text(best, paid)] if best is not None and paid else []
    return [*lines, *why, *front, *prediction_lines(tried)]


def lead_of(tried: Iterable[Tried]) -> Score | None:
    """The best score of the candidates that break a guard."""
    return max((t.score for t in tried if t.score is not None and t.score.over), key=ranking.rank, default=None)


def prediction_lines(tried: Iterable[Tried]) -> list[str]:
    """How good the planner's predictions were: the median error, and the worst; nothing to say where it made none."""
    errors = [
        (abs(math.log(attempt.score.ratio.median / attempt.candidate.predicted)), attempt)
        for attempt in tried
        if attempt.score is not None and attempt.candidate.predicted
    ]
    if not errors:
        return []
    worst, of = max(errors, key=lambda each: each[0])
    middle = math.exp(statistics.median(error for error, _ in errors))
    came = of.score.ratio.median if of.score is not None else 1.0
    said = f"{of.candidate.policy} was expected at {of.candidate.predicted:.2f}x and reached {came:.2f}x"
    off = f"off by {percent(middle)} at the median of {len(errors)}, at most {percent(math.exp(worst))}"
    return [f"predictions: {off}: {said}"]


def front_lines(scores: list[Score]) -> list[str]:
    """Which policies no other one beats in every metric; nothing to say where there is one policy or one metric.

    Those that break a guard are among them, with what it costs to keep it: the trade is the user's.
    """
    if len(scores) < 2 or not all(score.ratios for score in scores):
        return []
    ratios = [{score.metric: score.ratio.median} | {n: r.median for n, r in score.ratios.items()} for score in scores]
    metrics = sorted(set.intersection(*(set(of_policy) for of_policy in ratios)))
    lines = [f"Pareto front ({', '.join(metrics)}): none of these is beaten by another one in all of them"]
    for index in front(ratios):
        score = scores[index]
        figures = ", ".join(f"{name} {ratios[index][name]:.2f}x" for name in metrics)
        lines.append(f"{figures}{_broken(score)}: {describe(score.policy, score.knob_values)}")
    return lines


def _broken(score: Score) -> str:
    times = (f"{metric} at {times:.2f} times its limit" for metric, times in score.over.items())
    return f" (may not run: {', '.join(times)})" if score.over else ""


def paid_text(best: Score, found: Sequence[Ablation]) -> str:
    """What paid, in one sentence."""
    paid = [_said(one) for one in found if one.share is None or one.share >= MATTERS]
    idle = [one.without for one in found if one.share is not None and abs(one.share) < MATTERS]
    harm = [_said(one) for one in found if one.share is not None and one.share <= -MATTERS]
    parts = [f"{best.policy}'s {best.ratio.median:.2f}x on {best.workload} hangs on {'; '.join(paid)}"] if paid else []
    if not paid:
        parts = [f"{best.policy}'s {best.ratio.median:.2f}x on {best.workload} hangs on none of its knob values"]
    parts += [f"{', '.join(idle)} did not matter"] if idle else []
    parts += [f"better without: {'; '.join(harm)}"] if harm else []
    return ". ".join(parts)


def _said(one: Ablation) -> str:
    if one.ratio is None or one.share is None:
        return f"{one.without} (without it the policy may not run)"
    return f"{one.without} (without it {one.ratio.median:.2f}x)"
