# SPDX-License-Identifier: Apache-2.0
"""The planner that needs no model: rules over the profile's numbers, then a local search over the scores."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest

from policy_lake.model import Policy, PolicyPlan, Rejection
from policy_lake.ranking import rank
from policy_lake.scores import Score
from tasks.planners.kin import handed_down
from tasks.planners.openings import Opening, openings
from tasks.planners.protocol import Known, PlanContext
from tasks.planners.refine import at_bound, best_score, steps
from tasks.planners.selection import attempts, earlier_best, measured, select_plans
from tasks.planners.surrogate import predict
from tasks.planners.traits import room

WORTH_TRYING = 0.2
REFINED_PER_NEW = 2  # once something wins, this many steps near it for each policy not yet tried
LONGEST_QUOTE = 160


@dataclass(frozen=True, slots=True)
class EmbeddedPlanner:
    """Plans by rules alone; the same context always gives the same plans."""

    name: str = "embedded"

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """The next plans, best first; none once the best score is as good as arithmetic allows.

        What won on sibling workloads comes before the rules' openings, and these before the policies' own defaults.
        """
        ranked = openings(context)
        best = best_score(context)
        if best is None and not _leads(context):
            fresh = [opening for opening in ranked if not _spent(context, opening.policy)]
            opened = (self._opened(context, one) for one in _diverse(fresh, context.limit))
            first = chain(self._handed(context, ranked), opened, self._defaults(_worth(fresh)))
            return self._finish(context, ranked, first)
        return self._finish(context, ranked, self._later(context, ranked, best))

    def _later(self, context: PlanContext, ranked: list[Opening], best: Score | None) -> Iterator[PolicyPlan]:
        if again := earlier_best(context):
            won = f"won {again.ratio.median:.2f}x {_where(context, again)}"
            reason = f"{won}: measured again, since the kernel or the machine may be another"
            yield PolicyPlan(
                again.policy, again.knob_values, reason, self.name, pathway="reuse", parent=again.candidate
            )
        if best is not None and at_bound(best):
            return
        yield from self._handed(context, ranked)
        fresh = [opening for opening in _worth(ranked) if not _spent(context, opening.policy)]
        new = chain((self._opened(context, opening) for opening in fresh), self._defaults(_worth(ranked)))
        leads = _leads(context)
        if best is None or best.outcome != "win":  # another policy promises more than another slice
            yield from new
            leads += [score for score in _best_of_each(context, ranked) if score not in leads][:1]
        near = roundrobin(*(iter(self._refined(context, lead)) for lead in leads))
        composed = iter(self._composed(context, ranked, leads))
        while batch := [*islice(near, REFINED_PER_NEW), *islice(new, 1), *islice(composed, 1)]:
            yield from batch

    def _composed(self, context: PlanContext, ranked: list[Opening], leads: list[Score]) -> list[PolicyPlan]:
        """Policies one choice away from those that lead, with the knob values that they share, most promising first."""
        plans, predicted = [], _predicting(context, ranked)
        for lead in leads:
            for one in context.composed:
                if one.base == lead.policy:
                    shared = {knob.name for knob in one.policy.knobs}
                    values = {name: value for name, value in lead.knob_values.items() if name in shared}
                    reason = f"{lead.policy} leads with {lead.ratio.median:.2f}x; composed anew with {one.what}"
                    made = PolicyPlan(
                        one.policy.id, values, reason, self.name, pathway="compose", parent=lead.candidate
                    )
                    plans.append(predicted(made))
        fresh = select_plans(plans, replace(context, limit=sys.maxsize))
        return sorted(fresh, key=lambda plan: -(plan.predicted or 0.0))

    def _handed(self, context: PlanContext, ranked: list[Opening]) -> Iterator[PolicyPlan]:
        """What won on siblings, with this workload's own hints."""
        hints = {one.policy.id: one.hints for one in ranked}
        for handed in handed_down(context):
            score = handed.known.score
            bound = f" of {score.bound:.2f}x" if score.bound is not None else ""
            reason = (
                f"won {score.ratio.median:.2f}x{bound} on {score.workload} with {score.cpus} CPUs, which is alike "
                f"(distance {handed.known.distance:.2f}; score {score.id})"
            )
            values = {**hints.get(handed.policy, {}), **handed.knob_values}
            yield PolicyPlan(handed.policy, values, reason, self.name, pathway="reuse", parent=score.candidate)

    def _defaults(self, ranked: list[Opening]) -> Iterator[PolicyPlan]:
        """Each policy as it is, but for the hints: its author may know better than the rules."""
        for opening in ranked:
            if opening.knob_values != opening.hints:
                reason = f"{opening.policy.id} with its own defaults, beside what the rules make of it"
                yield PolicyPlan(opening.policy.id, dict(opening.hints), reason, self.name, pathway="configure")

    def _refined(self, context: PlanContext, lead: Score) -> list[PolicyPlan]:
        """The steps round a score that nobody has tried: the others must not take turns."""
        policy = context.policy(lead.policy)
        near = steps(context, lead, policy) if policy else ()
        broken = f"; {_broken(lead)}" if lead.over else ""
        plans = (
            PolicyPlan(
                lead.policy, knob_values, f"{reason}{broken}", self.name, pathway="configure", parent=lead.candidate
            )
            for knob_values, reason in near
        )
        return select_plans(plans, replace(context, limit=sys.maxsize))

    def _opened(self, context: PlanContext, opening: Opening) -> PolicyPlan:
        reason = opening.reason + _lesson(context, opening.policy)
        return PolicyPlan(opening.policy.id, opening.knob_values, reason, self.name, pathway="configure")

    def _finish(self, context: PlanContext, ranked: list[Opening], plans: Iterator[PolicyPlan]) -> list[PolicyPlan]:
        """The plans that are new and legal, each with what it is expected to reach; the first one also says what is
        left out, and in whose words.
        """
        kept = [*map(_predicting(context, ranked), select_plans(plans, context))]
        avoided = _avoided(context)
        if kept and avoided:
            kept[0] = replace(kept[0], reason=f"{kept[0].reason}. {avoided}")
        return kept


def _leads(context: PlanContext) -> list[Score]:
    """From where steps are taken: the best that keeps its guards, and the best that breaks one, if it promises more."""
    best = best_score(context)
    over = max((score for score in measured(context) if score.over), key=rank, default=None)
    leads = [best] if best is not None else []
    if over is not None and (best is None or over.ratio.median > best.ratio.median):
        leads.append(over)
    return leads


def _broken(score: Score) -> str:
    times = ", ".join(f"{metric} is {over:.2f} times its limit there" for metric, over in score.over.items())
    return f"{times}, and a step may keep it"


def _predicting(context: PlanContext, ranked: list[Opening]) -> Callable[[PolicyPlan], PolicyPlan]:
    """What gives a plan its prediction; what all plans have in common is worked out once."""
    known = [*(Known(score) for score in measured(context)), *context.kin]
    strengths, gain = {one.policy.id: min(1.0, one.strength) for one in ranked}, room(context.profile) - 1

    def predicted(plan: PolicyPlan) -> PolicyPlan:
        policy = context.policy(plan.policy)
        if policy is None:
            return plan
        guess = 1 + gain * strengths.get(policy.id, 0.0)
        ratio = predict(policy, plan.knob_values, known, guess=guess, of=context.policy)
        return replace(plan, predicted=round(ratio**context.slope, 4), uncorrected=round(ratio, 4))

    return predicted


def _where(context: PlanContext, score: Score) -> str:
    """Whose score it is; one that confirms another is that one's run's."""
    origin = next((known for known in context.scores if known.id == score.confirms), score)
    return f"in run {origin.run_id}" if origin.run_id else "outside a run"


def _worth(ranked: list[Opening]) -> list[Opening]:
    return [opening for opening in ranked if opening.strength >= WORTH_TRYING]


def _diverse(fresh: list[Opening], limit: int) -> list[Opening]:
    """The strongest openings of different policies, with room kept for one cheap control."""
    kept = _worth(fresh)[:limit]
    control = next((opening for opening in _worth(fresh) if opening.is_control), None)
    return kept if control is None or control in kept or limit < 2 else [*kept[:-1], control]


def _best_of_each(context: PlanContext, ranked: list[Opening]) -> list[Score]:
    """The best score of each policy that is worth trying, in the order in which the rules rank the policies."""
    scores = sorted(measured(context), key=rank, reverse=True)
    firsts = (next((s for s in scores if s.policy == opening.policy.id), None) for opening in _worth(ranked))
    return [score for score in firsts if score is not None]


def roundrobin(*sources: Iterator[PolicyPlan]) -> Iterator[PolicyPlan]:
    """One from each source in turn, until all are used up."""
    return (plan for turn in zip_longest(*sources) for plan in turn if plan is not None)


def _spent(context: PlanContext, policy: Policy) -> bool:
    """Whether a policy has had its opening: it was measured, or rejected as it stands now."""
    return any(score.policy == policy.id for score in measured(context)) or _rejection(context, policy) is not None


def _rejection(context: PlanContext, policy: Policy) -> Rejection | None:
    """Why the policy's present source was rejected last, unless some of its knob values went through."""
    if any(score.policy == policy.id for score in measured(context)):
        return None
    reasons = [
        why for candidate, why in context.rejections if candidate.policy == policy.id and attempts(context, candidate)
    ]
    return reasons[-1] if reasons else None


def _avoided(context: PlanContext) -> str:
    rejected = [(policy.id, why) for policy in context.policies if (why := _rejection(context, policy))]
    return "; ".join(f"{id} is left out: {why.stage} rejected it ({_quote(why.reason)})" for id, why in rejected)


def _lesson(context: PlanContext, policy: Policy) -> str:
    """The last lesson about the policy on this workload."""
    here = (policy.id, context.profile.workload)
    texts = [lesson.text for lesson in context.lessons if (lesson.policy, lesson.workload) == here]
    return f". Lesson: {_quote(texts[-1])}" if texts else ""


def _quote(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"
