# SPDX-License-Identifier: Apache-2.0
"""Open questions of the static stages, and their outcomes: proven, witnessed, not seen, partly tried, not tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from policy_lake.codes import Code
from policy_lake.coverage import Coverage
from policy_lake.model import Answer, Finding, Stage
from verifier_vm.situations import AIMED, SHOWS, STARVES, Situation, in_order, made_by

NO_WAY = "no situation that executes it is known"
IN_A_GUEST = ("kernel", "survive", "fair")
_KNOWN = frozenset(map(str, Situation))
# A guest shows these alike, whichever bug is behind: what was suspected before explains more than a thread's name.
_SYMPTOMS = frozenset({Code.STALL, Code.NO_PROGRESS, Code.NEVER_RAN, Code.HUNG})


def answered(stages: Sequence[Stage], coverage: Coverage | None = None) -> list[Stage]:
    """The stages with each open finding's situations and outcome; a guest's stall named after the one suspicion that it
    fits. Doing it again with further stages is as good as doing it once.

    Partly tried is what some of its situations did not show, or what may be behind a failure that was seen. What the
    situations did not show was not tried all the same where they never executed the code in question, which `coverage`
    tells.
    """
    unreached = _unreached(coverage)
    stages = [_explained(stage, _suspected(stages)) if stage.name in IN_A_GUEST else stage for stage in stages]
    met = met_of(stages)
    return [
        replace(stage, findings=tuple(_answer(one, stages[index + 1 :], met, unreached) for one in stage.findings))
        for index, stage in enumerate(stages)
    ]


def not_tried(stages: Sequence[Stage]) -> tuple[str, ...]:
    """Of the open questions that no guest's situation answered: `BUG: situation, situation`, each once."""
    missing: dict[str, set[str]] = {}
    met = met_of(stages)
    for finding in (finding for stage in stages for finding in stage.findings):
        if finding.is_open and finding.outcome in ("", "partly tried", "not tried"):
            missing.setdefault(finding.bug, set()).update(set(finding.situations) - met)
    return tuple(f"{bug}: {', '.join(in_order(missing[bug])) or NO_WAY}" for bug in sorted(missing))


def met_of(stages: Sequence[Stage]) -> frozenset[str]:
    """The situations that some guest of a verdict met."""
    return frozenset(situation for stage in stages for situation in stage.situations)


def _unreached(coverage: Coverage | None) -> frozenset[str]:
    """FILE:LINE of code that no guest executed, and of conditions of which none took the one way or the other."""
    if coverage is None or coverage.unknown:
        return frozenset()
    lines = {f"{file.file}:{line}" for file in coverage.files for line in file.not_tried}
    return frozenset(lines | {f"{branch.file}:{branch.line}" for branch, _ in coverage.not_tried()})


def _answer(finding: Finding, later: Sequence[Stage], met: frozenset[str], unreached: frozenset[str]) -> Finding:
    if not finding.is_open:
        return finding
    situations = finding.situations or SHOWS.get(finding.bug, ())
    same = [stage for stage in later if any(_shows(other, finding) for other in stage.findings)]
    outcome: Answer = "not tried"
    if any(stage.name in IN_A_GUEST for stage in same):
        outcome = "witnessed"
    elif same:
        outcome = "proven"
    elif met.intersection(situations) and finding.place not in unreached:
        all_met = met.issuperset(situations) and not _may_be(finding, later)
        outcome = "not seen" if all_met else "partly tried"
    return replace(finding, situations=tuple(map(str, situations)), outcome=outcome)


def _may_be(finding: Finding, later: Sequence[Stage]) -> bool:
    """Whether a guest showed that somebody starves, and why is a guess: then it may be this after all."""
    starved = (other for stage in later if stage.name in IN_A_GUEST for other in stage.findings)
    return finding.bug in STARVES and any(
        other.level == "reject" and other.code in _SYMPTOMS and other.basis == "guess" for other in starved
    )


def _shows(other: Finding, suspected: Finding) -> bool:
    """A later stage's note of a bug is a guest's figure; the object stage's says only what the table lacks."""
    return other.bug == suspected.bug and not other.is_open and (other.level == "reject" or other.code != Code.STATIC)


def _suspected(stages: Sequence[Stage]) -> Finding | None:
    """The one suspicion that could starve somebody; none where there are several, for then it would be a guess."""
    suspicions = {
        finding.bug: finding
        for stage in stages
        for finding in stage.findings
        if finding.level == "suspicion" and finding.bug in STARVES
    }
    return next(iter(suspicions.values())) if len(suspicions) == 1 else None


def _explained(stage: Stage, suspected: Finding | None) -> Stage:
    if suspected is None:
        return stage
    said = f"; as suspected at {suspected.place}: {suspected.reason}"
    findings = tuple(
        replace(finding, bug=suspected.bug, advice=suspected.advice, reason=f"{finding.reason}{said}", explained=True)
        if _fits(finding, suspected) and not finding.explained
        else finding
        for finding in stage.findings
    )
    return replace(stage, findings=findings)


def _fits(finding: Finding, suspected: Finding) -> bool:
    """Whether a guest's stall may be what was suspected: one that was witnessed to be another bug is not, but where it
    came up in what was made for that suspicion alone.
    """
    symptom = finding.level == "reject" and finding.code in _SYMPTOMS
    made = set(made_by(finding.place))
    aimed_at = bool(made) and made <= AIMED & {Situation(name) for name in suspected.situations if name in _KNOWN}
    return symptom and (finding.bug == suspected.bug or finding.basis != "evidence" or aimed_at)
