# SPDX-License-Identifier: Apache-2.0
"""Plan: what the lake knows of workloads like this one, put to a planner, and its plans made into candidates."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bpf.variants import variants
from policy_lake.doing import doing
from policy_lake.knobs import settle
from policy_lake.lake import Lake
from policy_lake.model import Candidate, KnobValue, Pathway, Policy, PolicyPlan
from policy_lake.profile import WorkloadProfile
from policy_lake.ranking import best, rank
from policy_lake.scores import Score
from policy_lake.show import logger
from tasks.planners.kin import kin_of
from tasks.planners.protocol import Brief, Composed, PlanContext, Planner
from tasks.retrieve import ANYWHERE, Past, Place, can_run, retrieve

FEWEST = 5
MOST_SLOPE = 2.0
NO_BRIEF = Brief()
log = logger(__name__)


def plan(
    profile: WorkloadProfile, lake: Lake, planner: Planner, *, run_id: str, iteration: int, limit: int,
    place: Place = ANYWHERE, brief: Brief = NO_BRIEF, top_rung: Pathway = "",
) -> list[Candidate]:  # fmt: skip
    """At most `limit` new candidates for the profile's workload, stored in the lake; none when nothing is worth trying.

    The planner sees the policies that suit the profile and can run in that place, and all that was ever measured,
    rejected or learned about this workload. `brief` and `top_rung` are for one that asks a model.
    """
    doing("plan: iteration %d: searching the lake, and asking the planner", iteration)
    context = read_context(profile, lake, run_id=run_id, iteration=iteration, limit=limit, place=place)
    context = replace(context, brief=brief, top_rung=top_rung)
    composed = {one.policy.id: one.policy for one in context.composed}
    known = composed | {policy.id: policy for policy in context.policies}
    plans = planner.plan(context)[:limit]
    known |= {plan.made.id: plan.made for plan in plans if plan.made is not None}
    candidates = [make_candidate(made, known[made.policy], run_id=run_id, iteration=iteration) for made in plans]
    if candidates:
        brought = [plan.made or composed.get(plan.policy) for plan in plans]
        lake.put(*(policy for policy in brought if policy is not None), *candidates)
    if not candidates:
        log.info("plan: nothing new is worth trying (the best is near its bound, or every idea was tried)")
    for candidate in candidates:
        log.info("plan: %s: %s (%s)", candidate.policy, candidate.reason, knob_text(candidate.knob_values))
    return candidates


def read_context(
    profile: WorkloadProfile, lake: Lake, *, run_id: str, iteration: int, limit: int, place: Place = ANYWHERE
) -> PlanContext:
    """What a planner may reason from, as the lake has it now; `place` is where its policies are to run."""
    # What has no candidate is EEVDF against itself, and no word on the library's policy of that name.
    # Nor has what was scored and then rejected by the verifier, which promotes nothing so: it is a rejection by now.
    rejected = lake.rejections()
    demoted = {(each.candidate.id, each.kernel) for each in rejected if each.rejection.stage != "score"}
    everywhere = [
        score for score in lake.scores() if score.candidate and (score.candidate, score.kernel) not in demoted
    ]
    by_workload: dict[str, list[Score]] = {}
    for score in everywhere:
        if (score.clock, score.tier) == (profile.clock, profile.tier):
            by_workload.setdefault(score.workload, []).append(score)
    own = by_workload.get(profile.workload, [])
    past = Past(lake.profiles(), by_workload, rejected)
    # Not only the policies that name this workload: a user's own workload is named by none.
    nearest = [one.policy for one in retrieve(profile, lake, place=place, past=past)]
    nearest = proven(nearest, everywhere, run_id)
    composed = composed_of(nearest, [score for score in own if score.cpus == profile.cpus])
    elsewhere = past.rejections_elsewhere(profile.workload)
    return PlanContext(
        profile=profile,
        policies=tuple(nearest),
        # By the same clock alone, for what the wall clock of a busy host said teaches nothing; and in the same size.
        scores=tuple(own),
        rejections=tuple((r.candidate, r.rejection) for r in past.rejections if r.workload == profile.workload),
        lessons=tuple(lake.lessons(profile.workload)),
        iteration=iteration,
        limit=limit,
        run_id=run_id,
        kin=kin_of(profile, past.profiles, by_workload),
        slope=slope_of(everywhere),
        composed=tuple(one for one in composed if can_run(one.policy, place, elsewhere)),
        calls=tuple(lake.calls(run_id)) if run_id else (),
    )


def proven(policies: Sequence[Policy], scores: Sequence[Score], run_id: str) -> list[Policy]:
    """The policies without those of a model that won nothing yet: these are known in the run that they were made in."""
    won = {score.policy for score in scores if score.outcome == "win" and not score.over}
    return [one for one in policies if one.authored is None or one.authored.run_id == run_id or one.id in won]


def composed_of(policies: Sequence[Policy], scores: Sequence[Score]) -> tuple[Composed, ...]:
    """The variants of the policies that did best so far: of the best that keeps its guards, and of the best at all."""
    leads = [best(scores), max((score for score in scores if score.attached), key=rank, default=None)]
    known = {policy.id: policy for policy in policies}
    bases = [known[id] for id in dict.fromkeys(lead.policy for lead in leads if lead is not None) if id in known]
    return tuple(
        Composed(base.id, what, made) for base in bases for what, made in variants(base) if made.id not in known
    )


def slope_of(scores: Sequence[Score]) -> float:
    """What the logarithm of a prediction is to be multiplied by, from all that were measured: least squares through 0.

    Of predictions as they were before they were corrected by this: else it would correct what is corrected already. 1
    with fewer than FEWEST of them; from 0 to MOST_SLOPE.
    """
    pairs = [
        (math.log(score.uncorrected), math.log(score.ratio.median))
        for score in scores
        if score.uncorrected and not score.confirms
    ]
    squares = sum(said * said for said, _ in pairs)
    if len(pairs) < FEWEST or squares == 0:
        return 1.0
    return min(MOST_SLOPE, max(0.0, sum(said * came for said, came in pairs) / squares))


def make_candidate(plan: PolicyPlan, policy: Policy, *, run_id: str, iteration: int) -> Candidate:
    """The plan with its source; equal source and knob values give one id in every run. InputError for unfit ones."""
    knob_values = settle(policy, plan.knob_values)
    return Candidate(
        id=candidate_id(policy.id, policy.source, knob_values),
        run_id=run_id,
        iteration=iteration,
        policy=policy.id,
        source=policy.source,
        knob_values=knob_values,
        reason=plan.reason,
        planner=plan.planner,
        predicted=plan.predicted,
        uncorrected=plan.uncorrected,
        pathway=plan.pathway,
        parent=plan.parent,
    )


def candidate_of(
    chosen: Policy, knob_values: Mapping[str, object], *, source: str | None = None, files: Sequence[str] = ()
) -> Candidate:
    """A policy with these knobs as a candidate of no run; InputError for knob values that it does not take.

    `source` is all of it where that is more than the policy's own; `files` as in `candidate_id`.
    """
    settled, text = settle(chosen, knob_values), chosen.source if source is None else source
    return Candidate(
        id=candidate_id(chosen.id, text, settled, files), run_id="", iteration=0, policy=chosen.id,
        source=text, knob_values=settled, reason="asked for on the command line", planner="user",
    )  # fmt: skip


def candidate_id(policy: str, source: str, knob_values: dict[str, KnobValue], files: Sequence[str] = ()) -> str:
    """The policy's id and 48 bits of SHA-256 over source and knob values, which are in their one form (settle).

    `files` are digests of what it is built from, where that is more than its source.
    """
    of = [source, knob_values, *([list(files)] if files else [])]
    text = json.dumps(of, sort_keys=True, separators=(",", ":"))
    return f"{policy}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def describe(policy: str, knob_values: Mapping[str, KnobValue]) -> str:
    """A policy with its knob values in one phrase."""
    return f"{policy} {knob_text(knob_values)}"


def knob_text(knob_values: Mapping[str, KnobValue]) -> str:
    """The knob values alone, to stand behind a result that they would push out of sight: they may be long."""
    knobs = ", ".join(f"{name}={value}" for name, value in knob_values.items())
    return f"with {knobs}" if knobs else "as it is"
