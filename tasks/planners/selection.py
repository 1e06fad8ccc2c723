# SPDX-License-Identifier: Apache-2.0
"""Which plans may go on: their policy is known, their knobs are legal, and nobody has tried them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from policy_lake.knobs import KnobError, settle
from policy_lake.model import Candidate, PolicyPlan
from policy_lake.ranking import best
from policy_lake.scores import Score
from policy_lake.show import logger
from tasks.planners.knobs import Attempt, attempt
from tasks.planners.protocol import PlanContext

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a plan may not go on. `tried` is what a planner cannot always know, the rest is a mistake."""

    code: Literal["limit", "policy", "knob", "tried", "rung"]
    reason: str

    @property
    def level(self) -> int:
        return logging.INFO if self.code == "tried" else logging.WARNING


def select_plans(
    plans: Iterable[PolicyPlan], context: PlanContext, *, taken: Iterable[PolicyPlan] = ()
) -> list[PolicyPlan]:
    """The plans that may go on, at most `context.limit` with those `taken` before; the log says why others may not."""
    kept: list[PolicyPlan] = []
    for plan, may in sift(plans, context, taken=taken):
        if isinstance(may, PolicyPlan):
            kept.append(may)
        elif may.code != "limit":
            log.log(may.level, "%s: plan dropped: %s", plan.planner, may.reason)
    return kept


def sift(
    plans: Iterable[PolicyPlan], context: PlanContext, *, taken: Iterable[PolicyPlan] = ()
) -> Iterator[tuple[PolicyPlan, PolicyPlan | Dropped]]:
    """Each plan with its settled form, or with why it may not go on; it asks for no plan beyond the limit."""
    before = list(taken)
    known, room = tried(context).union(*(attempts(context, plan) for plan in before)), context.limit - len(before)
    for plan in plans:
        if room <= 0:
            yield plan, Dropped("limit", f"no more than {context.limit} plans were wanted")
            return
        policy = context.policy(plan.policy)
        if policy is None:
            yield plan, Dropped("policy", f"no policy {plan.policy!r} was retrieved")
            continue
        try:
            knob_values, key = settle(policy, plan.knob_values), attempt(policy, plan.knob_values)
        except KnobError as error:
            yield plan, Dropped("knob", str(error))
            continue
        if key in known:
            yield plan, Dropped("tried", f"{policy.id} with these knob values was tried before")
            continue
        known.add(key)
        room -= 1
        yield plan, replace(plan, policy=policy.id, knob_values=knob_values)


def tried(context: PlanContext) -> set[Attempt]:
    """Every attempt that was scored or rejected, save one: the best of an earlier run may be measured again."""
    tried: list[Score | Candidate] = [*measured(context), *(candidate for candidate, _ in context.rejections)]
    again = earlier_best(context)
    return set[Attempt]().union(*(attempts(context, record) for record in tried)) - (
        attempts(context, again) if again else set()
    )


def measured(context: PlanContext) -> list[Score]:
    """The scores that speak of this workload on this many CPUs, of policies that can be proposed again.

    Where this run has measured something that an earlier run had too, only this run's word counts.
    """
    here = (context.profile.workload, context.profile.cpus)
    known = [s for s in context.scores if s.attached and (s.workload, s.cpus) == here and attempts(context, s)]
    mine = set[Attempt]().union(*(attempts(context, s) for s in known if context.run_id and s.run_id == context.run_id))
    return [s for s in known if s.run_id == context.run_id or not attempts(context, s) & mine]


def earlier_best(context: PlanContext) -> Score | None:
    """The winner of an earlier run, until this run has met it: the kernel and the machine may have changed since."""
    leader = best(measured(context))
    if leader is None or not context.run_id or leader.run_id == context.run_id or leader.outcome != "win":
        return None
    tried: list[Score | Candidate] = [*measured(context), *(candidate for candidate, _ in context.rejections)]
    mine = set[Attempt]().union(*(attempts(context, record) for record in tried if record.run_id == context.run_id))
    return None if mine & attempts(context, leader) else leader


def attempts(context: PlanContext, record: Score | Candidate | PolicyPlan) -> set[Attempt]:
    """The attempt a record stands for; none when its policy is unknown or has since changed its source or knobs."""
    policy = context.policy(record.policy)
    if policy is None or (isinstance(record, Candidate) and record.source and record.source != policy.source):
        return set()
    try:
        return {attempt(policy, record.knob_values)}
    except KnobError:
        return set()
