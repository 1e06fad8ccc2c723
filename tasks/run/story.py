# SPDX-License-Identifier: Apache-2.0
"""The story of a run in words: what was seen, what was tried and why, why the best won, why it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.profile_lines import profile_lines
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.model import Candidate
from policy_lake.profile import WorkloadProfile
from policy_lake.ranking import best
from policy_lake.records import Run
from policy_lake.scores import Score
from policy_lake.show import for_prompt
from policy_lake.tuned import RunError, TuneResult
from tasks.plan import describe
from tasks.run.certainty import Tried, paid_text, prediction_lines, ratio_text
from tasks.run.stop import WORDS

LONGEST_REASON = 400
MOST_STEPS = 100  # from a candidate to where it began


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A heading and what stands below it, a sentence or so a line."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """A run told: in `paragraphs`, and as `tried`, which a picture can be made of."""

    run: str
    workload: str
    paragraphs: tuple[Paragraph, ...]
    tried: tuple[Tried, ...]


def story_of(run_id: str, lake: Lake) -> Story:
    """The story of the run of this id, or whose id begins so; InputError for none or several."""
    run = find_run(run_id, lake)
    scores = {score.candidate: score for score in lake.scores(run.workload, run.id)}
    rejections = {rejected.candidate.id: rejected.rejection for rejected in lake.rejections(run.workload, run.id)}
    tried = tuple(
        Tried(made, scores.get(made.id), rejections.get(made.id)) for made in lake.candidates(run.id)
    )  # fmt: skip
    profiles = lake.profiles(run.workload)
    return tell(run, profiles[-1] if profiles else None, tried, origins(lake, (one.candidate for one in tried)))


def tell(run: Run, profile: WorkloadProfile | None, tried: Sequence[Tried], known: Mapping[str, Tried]) -> Story:
    """The story of a run of which these candidates were tried; `known` has those that they came from, by their ids."""
    line = _lineage(tried, known)
    paragraphs = (_seen(run, profile), *_rounds(tried), *([line] if line else []), _ended(run, tried))
    return Story(run.id, run.workload, paragraphs, tuple(tried))


def origins(lake: Lake, made: Iterable[Candidate]) -> dict[str, Tried]:
    """The candidates from which these come, whichever run they are of, with their last scores; by id."""
    found = {one.id: one for one in made}
    own = set(found)
    for _ in range(MOST_STEPS):
        missing = {one.parent for one in found.values() if one.parent} - set(found)
        more = {one.id: one for one in lake.having("candidates", "candidate", sorted(missing))}
        if not more:
            break
        found |= more
    scores = {one.candidate: one for one in lake.having("scores", "candidate", sorted(set(found) - own))}
    return {id: Tried(one, scores.get(id)) for id, one in found.items() if id not in own}


def find_run(run_id: str, lake: Lake) -> Run:
    """The one run whose id begins so; InputError for none or several."""
    matches = {run.id: run for run in lake.runs() if run_id and run.id.startswith(run_id)}
    if run_id in matches:
        return matches[run_id]
    if len(matches) != 1:
        known = f"{len(matches)} runs begin so" if matches else "`schedcp runs` lists those there are"
        raise InputError(f"run '{run_id[:100]}': {known}")
    return next(iter(matches.values()))


def _seen(run: Run, profile: WorkloadProfile | None) -> Paragraph:
    if profile is None:
        return Paragraph(f"{run.workload}: nothing was observed", ())
    lines = tuple(f"{name}: {text}" for name, text in profile_lines(profile))
    return Paragraph(f"What was seen of {run.workload} under EEVDF", (f"goal: {profile.goal}", *lines))


def _rounds(tried: Sequence[Tried]) -> list[Paragraph]:
    numbers = sorted({attempt.candidate.iteration for attempt in tried})
    told = []
    for number in numbers:
        lines = [line for attempt in tried if attempt.candidate.iteration == number for line in _told(attempt)]
        so_far = [attempt.score for attempt in tried if attempt.candidate.iteration <= number and attempt.score]
        told.append(Paragraph(f"Round {number}", (*lines, _best_so_far(so_far))))
    return told


def _told(attempt: Tried) -> list[str]:
    made = attempt.candidate
    how = f"{made.planner}, {made.pathway}" if made.pathway else made.planner
    expected = f" It was expected at {made.predicted:.2f}x." if made.predicted else ""
    reason = for_prompt(made.reason, LONGEST_REASON)
    return [
        f"{describe(made.policy, made.knob_values)} ({how}): {reason}.{expected}",
        f"  It came to {attempt.result}.",
    ]


def _lineage(tried: Sequence[Tried], known: Mapping[str, Tried]) -> Paragraph | None:
    """From which candidates the best came, step by step, the first one first; None where it came from none."""
    leader = best(attempt.score for attempt in tried if attempt.score is not None)
    if leader is None:
        return None
    known = {**known, **{attempt.candidate.id: attempt for attempt in tried}}
    line: list[Tried] = []
    attempt = known.get(leader.candidate)
    while attempt is not None and attempt not in line:  # a record from outside may name itself
        line.append(attempt)
        attempt = known.get(attempt.candidate.parent)
    if len(line) < 2:
        return None
    told = [
        f"{describe(one.candidate.policy, one.candidate.knob_values)}: {one.ratio or 'no score'}"
        for one in reversed(line)
    ]
    return Paragraph("Where the best came from", tuple(told))


def _best_so_far(scores: Sequence[Score]) -> str:
    leader = best(scores)
    if leader is None:
        return "Nothing so far may run."
    bound = f"; arithmetic allows {leader.bound:.2f}x" if leader.bound is not None else ""
    return f"Best so far: {leader.policy}, {ratio_text(leader.ratio)}, {leader.outcome}{bound}."


def _ended(run: Run, tried: Sequence[Tried]) -> Paragraph:
    summary = run.summary
    if not isinstance(summary, TuneResult):
        why = f"It {run.status}" + (f": {summary.error}" if isinstance(summary, RunError) else "")
        return Paragraph("How it ended", (f"{why}.",))
    leader = best(attempt.score for attempt in tried if attempt.score is not None)
    lines = [f"It ended because {WORDS[summary.stopped]}."] if summary.stopped else []
    if leader is not None and summary.paid:
        lines.append(f"{paid_text(leader, summary.paid)}.")
    lines += prediction_lines(tried)
    token = summary.best.token if summary.best is not None else None
    lines.append(f"Its best was signed: {token}" if token else "Nothing was signed.")
    return Paragraph("How it ended", tuple(lines))
