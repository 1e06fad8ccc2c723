# SPDX-License-Identifier: Apache-2.0
"""A policy onto hosts, in steps; a step that is in doubt pauses the flow for a person, unless it is to end there.

It may be killed anywhere: what takes a policy back is on each host, and needs neither this process nor its server.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from policy_lake.doing import doing
from policy_lake.rollout import RolloutDone, StepDone
from tasks.fleet.artifacts import artifact_key, publish_markdown
from tasks.fleet.report_link import report_link
from tasks.fleet.retry import retryable
from tasks.host.settings import load_settings
from tasks.nights.tell import tell_revert
from tasks.rollout.audit import ask_audits
from tasks.rollout.drive import Answer, Attempt, Question, attempt_step, follow
from tasks.rollout.open import open_spec
from tasks.rollout.page import rollout_page
from tasks.rollout.person import ask_person
from tasks.rollout.spec import Opened, RolloutSpec


@flow(name="rollout", flow_run_name="rollout {spec}", retries=0)
async def rollout(spec: RolloutSpec) -> RolloutDone:
    """The rollout to its end. Whatever ends this flow takes the policy off every host where it was not promoted."""
    opened = open_spec(spec)
    steps: list[StepDone] = []

    async def attempt(item: Attempt) -> StepDone:
        doing("step %s on its hosts", item.step.name)
        steps.append(retryable(attempt_step, name=f"step-{item.step.name}")(item))
        await _publish(opened, steps)
        return steps[-1]

    async def ask(question: Question) -> Answer:
        if spec.on_doubt == "ask":
            return await ask_person(question)
        return "go on" if question.judgement is None else "stop"

    done = await follow(opened.rollout.course(), attempt, ask)
    opened.evidence.end(done, ask_audits(opened.channels))
    await _publish(opened, done.steps)
    if done.end == "rolled back":
        tell_revert(opened.evidence.record.id, done.why)
    return done


async def _publish(opened: Opened, steps: Sequence[StepDone]) -> None:
    record = opened.evidence.record
    page = rollout_page(record, steps) + report_link(load_settings(), "rollouts", record.id)
    await publish_markdown(artifact_key(record.id), page, f"Rollout of {record.policy}")
