# SPDX-License-Identifier: Apache-2.0
"""What a model is shown of a context: one section a subject, most telling first, cut to a length that is kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.statistics import four_digits, outcome_text
from policy_lake.limits import ANSWER_VALUES, PROMPT_CHARACTERS, PROMPT_PARAGRAPH
from policy_lake.machine_model import CAUSES, shares
from policy_lake.model import Candidate, Pathway, Policy, Rejection, to_json
from policy_lake.ranking import rank
from policy_lake.scores import Score
from policy_lake.show import block_for_prompt, for_prompt, shortened
from tasks.planners.answers import Workshop
from tasks.planners.ladder import Rungs
from tasks.planners.protocol import PlanContext
from tasks.planners.sections import Section, fitted
from tasks.planners.selection import measured

MOST_RECORDS = 20  # scores, rejections and lessons each
MOST_POLICIES = 12
MOST_SOURCES = 3
WITH_SOURCE = ("patch", "write")
PROFILE_BYTES = PROMPT_PARAGRAPH + 1000  # as JSON, which escapes what is not ASCII
WORDS = 1500  # bytes of a kernel's or a compiler's words about one rejection: the end, where the error is


def question(context: PlanContext, rungs: Rungs, workshop: Workshop | None, room: int) -> dict[str, object]:
    """The signature's inputs, in all at most `room` bytes; what is open says what is shown of how policies are made."""
    writes = [rung for rung in rungs.open if rung in WITH_SOURCE]
    guide = workshop.guide.splitlines() if workshop and ("slot" in rungs.open or writes) else []
    sections = [
        Section("task", tuple(_task(context)), 1500),
        Section("rungs", (rungs.words, f"Open: {', '.join(rungs.open)}."), 600),
        Section("heard", tuple(_heard(context)), 1500),
        Section("rejections", tuple(_rejection(*each) for each in reversed(context.rejections[-MOST_RECORDS:])), 3500),
        Section("scores", tuple(_scores(context)), 3000),
        Section("profile", (_profile(context),), PROFILE_BYTES),
        Section("sources", tuple(_sources(context)) if writes else (), 9500),
        Section("guide", tuple(block_for_prompt(line) for line in guide), 10_500),
        Section("policies", tuple(_cards(context)), 4500 if writes else 12_000, "policies"),
        Section("primitives", tuple(_offered(rungs.open, workshop)), 6000),
        Section("lessons", tuple(_lessons(context)), 2000),
    ]
    texts = fitted(sections, room)
    return {**texts, "limit": context.limit}


def _task(context: PlanContext) -> Iterator[str]:
    brief, profile = context.brief, context.profile
    yield for_prompt(f"Workload {profile.workload}: {profile.goal}", PROMPT_CHARACTERS)
    yield for_prompt(f"Metric: {brief.metric or profile.aim or 'not told'}; on {brief.where or profile.cpus} CPUs.")
    for guard in brief.guards:
        yield for_prompt(f"Must not get worse: {guard}")
    bounds = [score.bound for score in measured(context) if score.bound is not None]
    if bounds:
        yield f"Arithmetic allows a ratio of {max(bounds):.3f} at the most."
    left = "" if brief.runs_left is None else f"; {brief.runs_left} runs of candidates are left"
    yield f"Round {context.iteration} of {brief.iterations or 'some'}{left}."


def _heard(context: PlanContext) -> Iterator[str]:
    """What became of each part of this run's answers, the latest first."""
    for call in reversed(context.calls):
        if call.status != "answered":
            yield for_prompt(f"Round {call.iteration}: no answer to work with: {call.reason}")
        for fate in call.fates:
            why = f": {fate.code}: {fate.reason}" if fate.code else ""
            yield for_prompt(f"Round {call.iteration}: {fate.part}: {fate.fate} {fate.policy}{why}")


def _scores(context: PlanContext) -> Iterator[str]:
    """The best first, then the rest from the latest on."""
    known = list(context.scores)
    led = sorted(measured(context), key=rank, reverse=True)[:5]
    for score in [*led, *(one for one in reversed(known) if one not in led)][:MOST_RECORDS]:
        yield for_prompt(score_line(score))
    for one in context.kin[:3]:
        yield for_prompt(f"Elsewhere, on {one.score.workload}, which is alike: {score_line(one.score)}")


def score_line(score: Score) -> str:
    """A score in one line: ratio, outcome, bound, every metric's values, the spread over seeds, what time went into."""
    low, high = score.ratio.ci95
    bound = "" if score.bound is None else f", bound {score.bound:.3f}x"
    line = f"{score.policy} {score.knob_values} on {score.cpus} CPUs: {score.ratio.median:.3f}x"
    line += f" (95 %: {low:.3f} to {high:.3f}), {outcome_text(score)}{bound}"
    if score.pairs:
        ratios = sorted(pair.baseline / pair.policy for pair in score.pairs if pair.policy)
        own = four_digits(statistics.median(pair.policy for pair in score.pairs))
        theirs = four_digits(statistics.median(pair.baseline for pair in score.pairs))
        line += f"; {score.metric} {own} {score.unit} (EEVDF {theirs})"
        if ratios:
            line += f", over {len(score.pairs)} seeds EEVDF's is {ratios[0]:.2f} to {ratios[-1]:.2f} times the policy's"
    for name in sorted(score.also):
        if name.startswith("policy_") and (other := f"baseline_{name[7:]}") in score.also:
            line += f"; {name[7:]} {four_digits(score.also[name])} (EEVDF {four_digits(score.also[other])})"
    for metric, times in score.over.items():
        line += f"; BREAKS the guard {metric}, {times:.2f} times its limit"
    return line + _lost(score)


def _lost(score: Score) -> str:
    """Where the CPUs' time went under the policy, where a machine's costs were counted."""
    if "policy" not in score.paid:
        return ""
    lost = {CAUSES[name]: share for name, share in shares(score.paid["policy"]).items() if share >= 0.005}
    told = ", ".join(f"{100 * share:.1f} % {cause}" for cause, share in lost.items())
    return f"; CPU time lost to: {told}" if told else ""


def _rejection(candidate: Candidate, why: Rejection) -> str:
    """Where and why, what to change, and the end of the kernel's words."""
    place = f" at {why.place}" if why.place else ""
    line = f"{candidate.policy} {candidate.knob_values}: {why.stage}{place}: {why.code.value}: {why.reason}"
    advice = f" To change: {why.advice}" if why.advice else ""
    if not why.evidence or why.stage not in ("kernel", "build"):
        return for_prompt(line + advice)
    words = [for_prompt(said) for said in why.evidence[-WORDS:].splitlines() if said.strip()]
    return "\n    ".join([for_prompt(line + advice), "in its words:", *words])


def _profile(context: PlanContext) -> str:
    """The profile with the commands that used most CPU time."""
    profile = context.profile
    commands = sorted(profile.commands, key=lambda command: -command.cpu_ms)[:MOST_RECORDS]
    while True:
        told = json.dumps(_escaped(to_json(replace(profile, commands=tuple(commands), jobs=())), PROMPT_PARAGRAPH // 2))
        if len(told) <= PROFILE_BYTES or not commands:
            return told
        commands.pop()


def _escaped(value: Any, most: int = PROMPT_CHARACTERS) -> Any:
    """The data with every text in it as a model may be shown it."""
    if isinstance(value, str):
        return for_prompt(value, most)
    if isinstance(value, dict):
        return {for_prompt(name): _escaped(part, most) for name, part in value.items()}
    return [_escaped(part, most) for part in value] if isinstance(value, list) else value


def _cards(context: PlanContext) -> Iterator[str]:
    for policy in context.policies[:MOST_POLICIES]:
        card = to_json(replace(policy, knobs=policy.knobs[:ANSWER_VALUES], authored=None))
        told = {name: card[name] for name in ("id", "title", "summary", "good_for", "weak_at", "mechanisms")}
        told["knobs"] = [_knob(knob) for knob in card["knobs"]]
        yield json.dumps(_escaped(told))


def _knob(knob: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in knob.items() if value not in (None, "", 1) and name != "name_bytes"}


def _sources(context: PlanContext) -> Iterator[str]:
    """The model's own that were rejected in this run, then the best, then the nearest; a line is an item."""
    wanted: dict[str, Policy | str] = {}
    for candidate, _ in reversed(context.rejections):
        policy = context.policy(candidate.policy)
        if candidate.run_id == context.run_id and policy is not None and policy.origin == "model":
            wanted.setdefault(policy.id, candidate.source)
    led = [score.policy for score in sorted(measured(context), key=rank, reverse=True)[:2]]
    for id in [*led, *(policy.id for policy in context.policies)]:
        if (known := context.policy(id)) is not None:
            wanted.setdefault(id, known.source)
    for id, source in list(wanted.items())[:MOST_SOURCES]:
        yield f"--- {id}.bpf.c"
        yield from block_for_prompt(str(source)).splitlines()


def _offered(open: Sequence[Pathway], workshop: Workshop | None) -> Iterator[str]:
    if workshop is not None and "compose" in open:
        yield from (for_prompt(line) for line in workshop.choices.splitlines())
    if workshop is not None and set(open) & set(WITH_SOURCE):
        yield from (for_prompt(line) for line in workshop.primitives.splitlines())


def _lessons(context: PlanContext) -> Iterator[str]:
    for lesson in reversed(context.lessons[-MOST_RECORDS:]):
        yield for_prompt(f"{lesson.policy} on {lesson.workload}: {shortened(lesson.text, 400)}")
