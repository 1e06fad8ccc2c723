# SPDX-License-Identifier: Apache-2.0
"""A person asked in the middle of a flow, by Prefect's own input: in its UI, or by its API."""

from __future__ import annotations

from typing import Literal

from tasks.rollout.drive import Answer, Question
from tasks.rollout.page import judgement_line

LONGEST_PAUSE_S = 24 * 3600


async def ask_person(question: Question) -> Answer:
    """Pause the flow that runs until somebody answers; prefect's FlowPauseTimeout after a day."""
    from prefect.flow_runs import apause_flow_run
    from prefect.input import RunInput

    class Person(RunInput):
        """Go on to the next step, measure this one again, or stop and take it back."""

        answer: Literal["go on", "again", "stop"] = "stop"

    why = judgement_line(question.judgement) if question.judgement else "it asks before it begins"
    asked = Person.with_initial_data(description=f"Step **{question.step.name}**: {why}")
    told = await apause_flow_run(wait_for_input=asked, timeout=LONGEST_PAUSE_S)
    return told.answer
