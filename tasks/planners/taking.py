# SPDX-License-Identifier: Apache-2.0
"""What is taken of a model's answers: each part made into a plan, refused with findings, or dropped with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from policy_lake.calls import Fate, ModelCall
from policy_lake.limits import ANSWER_PLANS, LONGEST_NAME
from policy_lake.model import Authored, Pathway, Policy, PolicyPlan
from policy_lake.ranking import best
from policy_lake.show import for_prompt, logger, shortened
from tasks.planners.answers import Refused, Workshop
from tasks.planners.endpoint import Usage
from tasks.planners.ladder import Rungs
from tasks.planners.parts import (
    knob_values_of,
    making_of,
    name_of,
    reason_of,
    refusal_text,
    rung_of_part,
    strange_knob,
)
from tasks.planners.protocol import Composed, PlanContext
from tasks.planners.selection import Dropped, measured, sift

if TYPE_CHECKING:
    from tasks.planners.question import Answer

log = logger(__name__)
MOST_MADE = 8  # policies of one answer that are checked, a second each


class Taking:
    """The plans of one conversation, as they are taken; policies that were made are known from then on."""

    def __init__(self, context: PlanContext, rungs: Rungs, name: str, workshop: Workshop | None, prompt: str) -> None:
        self.plans: list[PolicyPlan] = []
        self._context, self._rungs, self._name, self._workshop, self._prompt = context, rungs, name, workshop, prompt
        self._made = 0

    @property
    def room(self) -> int:
        """How many more plans are wanted."""
        return self._context.limit - len(self.plans)

    def again(self, fates: Sequence[Fate]) -> bool:
        """Whether the model is to be told: a policy of its own was refused, or nothing at all could be taken."""
        return self.room > 0 and (not self.plans or any(fate.fate == "refused" for fate in fates))

    def take(
        self, answers: Sequence[Answer], *, call: ModelCall, usage: Usage, priced: bool
    ) -> tuple[tuple[Fate, ...], list[str]]:
        """What became of each part, and the words about each that was refused."""
        fates, refusals, self._made = list[Fate](), list[str](), 0
        for number, answer in enumerate(answers[:ANSWER_PLANS], 1):
            rung = rung_of_part(answer)
            part = name_of(number, answer, rung)
            by = Authored(
                rung or "", self._name, self._prompt, call.id, self._context.run_id, (),
                usage.tokens_in + usage.tokens_out, usage.usd if priced else None,
            )  # fmt: skip
            came = self._part(answer, rung, by)
            if isinstance(came, PolicyPlan):
                fates.append(Fate(part, rung or "", "kept", came.policy))
                continue
            reason = came.reason
            if isinstance(came, Refused):
                refusals.append(f"{part}: {refusal_text(came)}")
                reason = f"{came.stage}: {came.reason}"
            reason = for_prompt(reason)
            fate = Fate(part, rung or "", "refused" if isinstance(came, Refused) else "dropped", "", came.code, reason)
            fates.append(fate)
            if not (isinstance(came, Dropped) and came.code == "limit"):
                log.warning("%s: %s %s: %s", self._name, part, fate.fate, reason)
        return tuple(fates), refusals

    def _part(self, answer: Answer, rung: Pathway | None, by: Authored) -> PolicyPlan | Refused | Dropped:
        if rung is None or rung not in self._rungs.open:
            said = "is not open" if rung else "is none"
            return Dropped("rung", f"the rung '{shortened(answer.rung or rung, 20)}' {said}: {self._open} are")
        if strange := strange_knob(answer):
            return Dropped("knob", f"no knob has the name '{strange}'")
        if self.room <= 0:
            return Dropped("limit", f"no more than {self._context.limit} plans were wanted")
        made, parent = None, ""
        making = making_of(answer, rung)
        if making is not None and self._workshop is not None:
            self._made += 1
            if self._made > MOST_MADE:
                return Dropped("limit", f"no more than {MOST_MADE} policies of one answer are looked at")
            done = self._workshop.make(making, answer.reason, known=self._known(), authored=by)
            if isinstance(done, Refused):
                return done
            made, parent = done.policy, self._parent(answer.policy)
            self._context = replace(
                self._context, composed=(*self._context.composed, Composed(answer.policy, rung, made))
            )
        id = made.id if made is not None else shortened(answer.policy, LONGEST_NAME)
        values = knob_values_of(answer) if rung != "reuse" else {}
        plan = PolicyPlan(id, values, reason_of(answer), self._name, pathway=rung, parent=parent, made=made)
        ((_, may),) = list(sift([plan], replace(self._context, limit=len(self.plans) + 1), taken=self.plans))
        if isinstance(may, PolicyPlan):
            self.plans.append(may)
        return may

    @property
    def _open(self) -> str:
        return ", ".join(self._rungs.open)

    def _known(self) -> dict[str, Policy]:
        """The policies that another may be made from."""
        return {policy.id: policy for policy in (*self._context.policies, *(c.policy for c in self._context.composed))}

    def _parent(self, base: str) -> str:
        """The candidate that the new one is a step from: the best that was measured of its base."""
        leader = best(score for score in measured(self._context) if score.policy == base)
        return leader.candidate if leader is not None else ""
