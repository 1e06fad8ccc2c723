# SPDX-License-Identifier: Apache-2.0
"""`schedcp score`: one policy measured on one workload, in pairs with EEVDF; and scores taken again."""

from __future__ import annotations

from benchmarks.statistics import MIN_EFFECT, four_digits, is_narrow, outcome_text
from control_plane.output import escape, out, print_json, working
from control_plane.results import AgainResult, Rejected, ScoreResult, extended
from policy_lake.lake import Lake
from policy_lake.scores import Score, Sensitivity
from policy_lake.show import for_terminal
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.run.certainty import certainty_lines, ratio_text
from tasks.run.claims import claim_of
from tasks.run.report import baseline_line
from tasks.score import ScoreRequest, score
from tasks.trial.again import Again, score_again
from tasks.trial.spec import Trial

REJECTED, DIFFERS = 3, 1

TOLD = 1 + MIN_EFFECT  # a ratio that leaves 1 by more than this on both sides is another result, however unsure


def score_command(request: ScoreRequest, settings: Settings, *, as_json: bool) -> int:
    """Measure, print, return the exit status."""
    with working(
        f"measuring {for_terminal(request.policy)} on {for_terminal(request.workload)}: from {request.pairs} pairs on"
    ):
        result, trial = scored(request, settings, open_lake(settings))
    if isinstance(result, Rejected):
        return _rejected(result, as_json=as_json)
    if as_json:
        print_json("score", result)
        return 0
    _show(result, trial.warning)
    if result.sensitivity:
        _show_sensitivity(result.sensitivity, result)
    for name, path in result.pictures.items():
        out().print(f"{escape(name)}: {escape(path)}", soft_wrap=True)
    return 0


def scored(request: ScoreRequest, settings: Settings, lake: Lake) -> tuple[ScoreResult | Rejected, Trial]:
    """The score that was asked for with its pictures, or the rejection; and the trial behind it."""
    done = score(request, settings, lake)
    trial, pictures = done.trial, done.pictures
    if trial.score is None or trial.verdict.rejection is not None:
        return _rejection(trial), trial
    files = {name: str(path) for name, path in pictures.files.items()} if pictures else {}
    warnings = (trial.warning,) if trial.warning else ()
    return extended(trial.score, ScoreResult, warnings=warnings, pictures=files, sensitivity=done.sensitivity), trial


def again_command(score_id: str, settings: Settings, *, as_json: bool) -> int:
    """Measure a score of the lake again, say whether it agrees, return the exit status."""
    with working(f"measuring score {for_terminal(score_id)} again"):
        again = score_again(score_id, settings, open_lake(settings))
    if again.trial.score is None:
        return _rejected(_rejection(again.trial), as_json=as_json)
    if as_json:
        changed = tuple(again.changed)
        print_json(
            "score --again", AgainResult(again.agrees, again.difference, changed, again.before, again.trial.score)
        )
    else:
        _show_again(again, again.trial.score)
    return 0 if again.agrees else DIFFERS


def _rejection(trial: Trial) -> Rejected:
    assert trial.verdict.rejection is not None
    return Rejected(trial.verdict.rejection, trial.score)


def _rejected(result: Rejected, *, as_json: bool) -> int:
    if as_json:
        print_json("rejection", result)
    else:
        rejection = result.rejection
        if result.score is not None:
            _show_figures(result.score)
        out().print(f"[red]rejected[/] at {escape(rejection.stage)}: {escape(rejection.reason)}", soft_wrap=True)
    return REJECTED


def _show(score: Score, warning: str) -> None:
    _show_figures(score)
    console = out()
    console.print(f"attached throughout: {'yes' if score.attached else 'no'}")
    console.print(escape(f"score {score.id}: `schedcp score --again {score.id}` measures it once more"))
    if warning:
        console.print(f"[yellow]warning[/]: {escape(warning)}", soft_wrap=True)
    console.print(escape(claim_of(score)))


def _show_figures(score: Score) -> None:
    console = out()
    for number, pair in enumerate(score.pairs, 1):
        ratio = pair.baseline / pair.policy
        baseline, policy = four_digits(pair.baseline), four_digits(pair.policy)
        line = f"  pair {number}: {score.baseline} {baseline} {score.unit}, {score.policy} {policy} {score.unit}"
        console.print(escape(f"{line}, {ratio:.3f}x (seed {pair.seed})"))
    console.print(escape(baseline_line(score)))
    name, ratio_words = escape(score.policy), escape(ratio_text(score.ratio))
    console.print(f"[bold]{name}: {ratio_words}, {escape(outcome_text(score))}[/]", soft_wrap=True)
    for line in certainty_lines(score):
        console.print(escape(line), soft_wrap=True)


def _show_sensitivity(found: Sensitivity, score: Score) -> None:
    console = out()
    for change in found.changes:
        ratio = ratio_text(change.ratio) if change.ratio else "the policy failed"
        mark = "" if change.outcome == found.outcome else "  <- another outcome"
        if not mark and change.ratio and (change.ratio.median > 1) != (score.ratio.median > 1):
            mark = "  <- the other side of 1"
        console.print(escape(f"  {change.term} x {change.factor:g}: {ratio}, {change.outcome or 'rejected'}{mark}"))
    if any(change.term == "speed" for change in found.changes):
        console.print("  speed is that of executed code: bursts of a workload are times, and keep their length")
    if found.skipped:
        console.print(escape(f"  not changed, since they cost nothing there: {', '.join(found.skipped)}"))
    console.print(f"[bold]{escape(sensitivity_text(found, score))}[/]", soft_wrap=True)


def sensitivity_text(found: Sensitivity, score: Score) -> str:
    """What the changes say of the score, in a sentence."""
    if found.outcome != "inconclusive":
        hangs = ", ".join(found.hangs_on)
        return f"the outcome hangs on {hangs}" if hangs else "the outcome holds when any one cost is halved or doubled"
    others = [f"{one.term} x {one.factor:g}" for one in found.changes if one.outcome != "inconclusive"]
    held = f"it is not with {', '.join(others)}" if others else "it stays so when any one cost is halved or doubled"
    ratios = [score.ratio.median, *(one.ratio.median for one in found.changes if one.ratio)]
    if min(ratios) < 1 / TOLD and max(ratios) > TOLD:
        held += f"; by the costs it goes from {min(ratios):.2f}x to {max(ratios):.2f}x"
    settled = is_narrow(score) or score.doubt != "interval"
    advice = "" if settled else "; more --pairs, or a larger --size, may settle it"
    return f"the score is {outcome_text(score)}, and {held}{advice}"


def _show_again(again: Again, now: Score) -> None:
    console = out()
    console.print(escape(f"before: {ratio_text(again.before.ratio)}, {outcome_text(again.before)}"))
    console.print(escape(f"now:    {ratio_text(now.ratio)}, {outcome_text(now)}"))
    if again.changed:
        console.print(escape(f"no longer what it was then: {', '.join(again.changed)}"))
    word = "[green]agrees[/]" if again.agrees else "[red]differs[/]"
    console.print(f"{word}: the ratio is {100 * again.difference:.2f} % away from what it was")
