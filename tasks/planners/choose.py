# SPDX-License-Identifier: Apache-2.0
"""Which planner plans: the embedded one, or a model with the embedded one behind it."""

from __future__ import annotations

from dataclasses import replace

from policy_lake.errors import SchedcpError
from policy_lake.model import PolicyPlan
from policy_lake.show import for_prompt, logger
from tasks.planners.answers import Workshop
from tasks.planners.embedded import EmbeddedPlanner
from tasks.planners.endpoint import Books, ModelEndpoint, Usage
from tasks.planners.protocol import PlanContext, Planner
from tasks.planners.selection import select_plans

log = logger(__name__)


def planner(
    endpoint: ModelEndpoint | None = None, *, books: Books | None = None, workshop: Workshop | None = None,
    instructions: str = "", program: str = "",
) -> Planner:  # fmt: skip
    """The embedded planner, or, with an endpoint, one that asks the model first.

    Its budget goes on from what `books` say was spent. With a `workshop` the model may bring policies of its own.
    `instructions` are learned ones, `program` is their name.
    """
    if endpoint is None:
        return EmbeddedPlanner()
    return ModelFirst(endpoint, books=books, workshop=workshop, instructions=instructions, program=program)


class ModelFirst:
    """The model's plans first; the embedded planner fills up, and takes over when the model cannot be asked.

    `PolicyPlan.planner` tells whose a plan is. Whatever the model's planner raises is a warning: it ends no run.
    """

    def __init__(
        self, endpoint: ModelEndpoint, *, books: Books | None = None, workshop: Workshop | None = None,
        instructions: str = "", program: str = "",
    ) -> None:  # fmt: skip
        from tasks.planners.model import ModelPlanner

        self._model = ModelPlanner(
            endpoint, books=books, workshop=workshop, instructions=instructions, program=program
        )  # fmt: skip
        self._embedded = EmbeddedPlanner()
        self.name = self._model.name

    @property
    def usage(self) -> Usage:
        """What the model's calls have used so far."""
        return self._model.usage

    def plan(self, context: PlanContext) -> list[PolicyPlan]:
        """At most `context.limit` plans, the model's before the embedded planner's."""
        plans: list[PolicyPlan] = []
        note = ""
        try:
            plans = self._model.plan(context)
        except Exception as error:  # of ours, of a library's, or for want of memory
            why = for_prompt(error if isinstance(error, SchedcpError) else f"{type(error).__name__}: {error!s:.400}")
            log.warning("the embedded planner takes over: %s", why)
            note = f" (planned without the model: {why})"
        more = self._embedded.plan(replace(context, limit=context.limit + len(plans)))
        filled = [replace(plan, reason=plan.reason + note) for plan in select_plans(more, context, taken=plans)]
        return plans + filled
