# SPDX-License-Identifier: Apache-2.0
"""A policy onto hosts, in steps; a step that is in doubt pauses the flow for a person, unless it is to end there.

It may be killed anywhere: what takes a policy back is on each host, and needs neither this process nor its server.
"""

from __future__ import annotations

from typing import Literal

from prefect import flow
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput

from policy_lake.doing import doing
from policy_lake.rollout import RolloutDone, StepDone
from tasks.fleet.artifacts import artifact_key, publish_markdown
from tasks.fleet.retry import retryable
from tasks.rollout.drive import Answer, Attempt, Question
from tasks.rollout.hosts import HostError
from tasks.rollout.open import open_spec
from tasks.rollout.page import judgement_line, rollout_page
from tasks.rollout.spec import Opened, RolloutSpec

LONGEST_PAUSE_S = 24 * 3600


class Person(RunInput):
    """What a person answers: go on to the next step, measure this one again, or stop and take it back."""

    answer: Literal["go on", "again", "stop"] = "stop"


def attempt_step(attempt: Attempt) -> StepDone:
    """One step over its hosts."""
    return attempt.act()


@flow(name="rollout", flow_run_name="rollout {spec}", retries=0)
async def rollout(spec: RolloutSpec) -> RolloutDone:
    """The rollout to its end. Whatever ends this flow takes the policy off every host where it was not promoted."""
    opened = open_spec(spec)
    done = await _course(spec, opened)
    opened.evidence.end(done)
    await _publish(opened, done.steps)
    return done


async def _course(spec: RolloutSpec, opened: Opened) -> RolloutDone:
    course = opened.rollout.course()
    steps: list[StepDone] = []
    try:
        item = next(course)
        while True:
            try:
                answer: StepDone | Answer
                if isinstance(item, Attempt):
                    doing("step %s on its hosts", item.step.name)
                    answer = retryable(attempt_step, name=f"step-{item.step.name}")(item)
                    steps.append(answer)
                    await _publish(opened, steps)
                else:
                    answer = await _answer(spec, item)
            except HostError as error:
                item = course.throw(error)
            else:
                item = course.send(answer)
    except StopIteration as end:
        done: RolloutDone = end.value
        return done
    finally:
        course.close()


async def _answer(spec: RolloutSpec, question: Question) -> Answer:
    if spec.on_doubt == "stop":
        return "go on" if question.judgement is None else "stop"
    why = judgement_line(question.judgement) if question.judgement else "it asks before it begins"
    asked = Person.with_initial_data(description=f"Step **{question.step.name}**: {why}")
    told = await apause_flow_run(wait_for_input=asked, timeout=LONGEST_PAUSE_S, key=f"{question.step.name}")
    return told.answer


async def _publish(opened: Opened, steps: list[StepDone] | tuple[StepDone, ...]) -> None:
    record = opened.evidence.record
    key = artifact_key(record.id)
    await publish_markdown(key, rollout_page(record, steps), f"Rollout of {record.policy}")
