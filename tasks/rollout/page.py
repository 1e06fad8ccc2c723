# SPDX-License-Identifier: Apache-2.0
"""A rollout as a page: its steps, what each metric came to, how it ended; for the Prefect UI and a terminal alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy_lake.records import Rollout
from policy_lake.rollout import Judgement, Reading, RolloutDone, StepDone, Why
from policy_lake.show import for_markdown

WHY = {
    Why.BETTER: "surely better, and within every limit",
    Why.WITHIN: "every metric surely within its limit",
    Why.HARM: "a critical metric is surely beyond its limit",
    Why.BEYOND: "a metric is surely beyond its limit",
    Why.WINDOWS: "not sure after all its windows",
    Why.SILENT: "a metric was missing from most windows",
    Why.MORE: "not sure yet",
}


def rollout_page(record: Rollout, steps: Iterable[StepDone]) -> str:
    """The page, as Markdown."""
    return "\n".join(_lines(record, tuple(steps)))


def end_line(done: RolloutDone) -> str:
    """How it ended, in one line."""
    where = f" at step {done.at}" if done.at else ""
    why = f" by {done.host}: {done.why}" if done.why else ""
    return f"{done.end.value.replace('_', ' ')}{where}{why}"


def judgement_line(judgement: Judgement) -> str:
    """A judgement in one line: `roll back: a critical metric is surely beyond its limit (p99_us on web-1)`."""
    host = f" on {judgement.host}" if judgement.host else ""
    of = f" ({judgement.metric}{host})" if judgement.metric else ""
    return f"{judgement.decision.value.replace('_', ' ')}: {WHY[judgement.why]}{of}"


def reading_text(seen: Reading) -> str:
    """A metric's factor with its interval: `0.81 [0.76, 0.87]`; below 1 is better."""
    if seen.high is None:
        return "too few windows"
    return f"{seen.factor:.2f} [{seen.low:.2f}, {seen.high:.2f}]"


def _lines(record: Rollout, steps: tuple[StepDone, ...]) -> Iterator[str]:
    yield f"# Rollout of {for_markdown(record.policy)} for {for_markdown(record.workload or 'a workload')}"
    yield ""
    yield for_markdown(f"{record.id}, on {', '.join(record.hosts)}, since {record.started}.")
    if record.done:
        yield ""
        yield f"**{for_markdown(end_line(record.done))}**"
    yield ""
    yield "| step | hosts | judged | metric | worse by (below 1: better) | blocks |"
    yield "|---|---|---|---|---|---|"
    for step in steps:
        yield from _rows(step)


def _rows(step: StepDone) -> Iterator[str]:
    hosts = for_markdown(", ".join(step.hosts))
    if step.judgement is None:
        yield f"| {for_markdown(step.step)} | {hosts} | loaded, and unloaded | | | |"
        return
    said = for_markdown(judgement_line(step.judgement))
    for seen in step.judgement.readings:
        name = for_markdown(f"{seen.metric}{f' on {seen.host}' if seen.host else ''}")
        yield f"| {for_markdown(step.step)} | {hosts} | {said} | {name} | {reading_text(seen)} | {seen.blocks} |"
