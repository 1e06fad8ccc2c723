# SPDX-License-Identifier: Apache-2.0
"""What a run found, for a person: rows for a table, and one report as Markdown or as plain text."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.profile_lines import profile_lines
from benchmarks.remarks import remarks
from benchmarks.statistics import four_digits, outcome_text
from policy_lake import ranking
from policy_lake.profile import WorkloadProfile
from policy_lake.scores import Score
from policy_lake.show import for_markdown, for_terminal, name_shown
from policy_lake.tuned import Ablation, Stop
from tasks.plan import knob_text
from tasks.run.certainty import Tried, certainty, lead_of, ratio_text
from tasks.run.claims import claim_of
from tasks.run.layout import folded, wrapped
from tasks.run.shown import report_parts, shown
from tasks.run.stop import WORDS


def table_rows(tried: Iterable[Tried]) -> list[dict[str, Any]]:
    """One row a candidate for the table artifact: what came of it first, since knobs and reasons may be long."""
    return [
        {
            "ratio": attempt.ratio,
            "result": attempt.outcome_and_why,
            "policy": attempt.candidate.policy,
            "iteration": attempt.candidate.iteration,
            "knobs": knob_text(attempt.candidate.knob_values),
            "why it was tried": attempt.candidate.reason,
            "planner": attempt.candidate.planner,
            "candidate": attempt.candidate.id,
        }
        for attempt in tried
    ]


def best_of(tried: Iterable[Tried]) -> Score | None:
    """The best score of the candidates that were measured."""
    return ranking.best(attempt.score for attempt in tried if attempt.score is not None)


def baseline_line(score: Score) -> str:
    """What the baseline itself reached, and the best that arithmetic allows."""
    own = statistics.median(pair.baseline for pair in score.pairs)
    where = f"{score.topology or f'{score.cpus} CPUs'}, {score.clock} clock" + (
        f", {score.accel}" if score.accel else ""
    )
    line = f"{score.baseline}: {score.metric} {four_digits(own)} {score.unit} (median of {len(score.pairs)}; {where})"
    if score.bound is None:
        return f"{line}. Arithmetic sets no bound here."
    return f"{line}. The best ratio that arithmetic allows is {score.bound:.2f}x."


def best_line(score: Score | None, tried: Iterable[Tried] = ()) -> str:
    """The run's outcome in one sentence, its knobs last; without a score, what became of what was tried."""
    if score is None:
        return _without_a_score(list(tried))
    name, against = score.policy, f"{ratio_text(score.ratio)} against {score.baseline}"
    knobs = knob_text(score.knob_values)
    if score.outcome == "win":
        return f"Best: {name}, {against} ({change(score)}), {knobs}."
    return f"Nothing won. Nearest: {name}, {against}, {outcome_text(score)}; {knobs}."


def _without_a_score(tried: Sequence[Tried]) -> str:
    if not tried:
        return "Nothing was tried: the planner saw nothing that is worth a measurement."
    if lead := lead_of(tried):
        broken = ", ".join(f"{metric} at {times:.2f} times its limit" for metric, times in lead.over.items())
        figures = f"{ratio_text(lead.ratio)} against {lead.baseline}, {broken}; {knob_text(lead.knob_values)}"
        return f"Nothing may run within the workload's guards. Nearest: {lead.policy}, {figures}."
    rejected = [attempt.rejection for attempt in tried if attempt.rejection is not None]
    measured = sum(rejection.stage == "score" for rejection in rejected)
    counts = {
        "measured and rejected for what that showed": measured,
        "rejected before a measurement": len(rejected) - measured,
        "without a result": len(tried) - len(rejected),
    }
    said = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    return f"{'No candidate may run' if measured else 'No candidate was measured'}: {said}."


def change(score: Score) -> str:
    """The median difference in the metric's own direction: `makespan 24 % lower`."""
    baseline = statistics.median(pair.baseline for pair in score.pairs)
    policy = statistics.median(pair.policy for pair in score.pairs)
    if not baseline:
        return f"{score.metric} {baseline:g} to {policy:g} {score.unit}"
    percent = 100 * (policy - baseline) / baseline
    return f"{score.metric} {abs(percent):.0f} % {'lower' if percent < 0 else 'higher'}"


def text_report(
    profile: WorkloadProfile, tried: Sequence[Tried], *, token: str | None, seconds: dict[str, float],
    warning: str = "", refusal: str = "", stopped: Stop = "", paid: Sequence[Ablation] = (),
) -> str:  # fmt: skip
    """The whole report as plain text, in lines of at most WIDTH columns."""
    profile, tried, token, warning = report_parts(profile, tried, token, warning, for_terminal)
    best = best_of(tried)
    lines = [
        *wrapped(f"{profile.workload}: {profile.goal}"),
        "",
        *_remarked(profile),
        *wrapped(best_line(best, tried)),
        "",
    ]
    if best is not None:
        lines += [*wrapped(baseline_line(best)), ""]
    for name, text in profile_lines(profile):
        lines += wrapped(text, first=f"  {name:<13} ", rest=" " * 16)
    lines += [""]
    for attempt in tried:
        lines += _attempt_lines(attempt)
    lines += ["", *(part for line in certainty(best, tried, paid) for part in wrapped(line, rest="  "))]
    return "\n".join([*lines, *_ending(best, token, seconds, warning, for_terminal(refusal), stopped)]) + "\n"


def _attempt_lines(attempt: Tried) -> list[str]:
    candidate, indent = attempt.candidate, " " * 6
    head = f"  {attempt.ratio}, {attempt.outcome}" if attempt.ratio else f"  {attempt.outcome}"
    lines = wrapped(f"{candidate.policy}, iteration {candidate.iteration}", first=f"{head}: ", rest=indent)
    if attempt.why:
        lines += wrapped(attempt.why, first=indent, rest=indent)
    return [*lines, *wrapped(knob_text(candidate.knob_values), first=indent, rest=indent)]


def markdown_report(
    profile: WorkloadProfile, tried: Sequence[Tried], *, token: str | None, seconds: dict[str, float],
    warning: str = "", refusal: str = "", stopped: Stop = "", paid: Sequence[Ablation] = (),
) -> str:  # fmt: skip
    """The whole report as Markdown: the results in a table, knobs and reasons below it, where they have room."""
    profile, tried, token, warning = report_parts(profile, tried, token, warning, for_markdown)
    best = best_of(tried)
    lines = [f"# {profile.workload}", "", *_remarked(profile), *wrapped(best_line(best, tried)), ""]
    lines += [*wrapped(f"Goal: {profile.goal}"), ""]
    if best is not None:
        lines += [*wrapped(baseline_line(best)), ""]
    lines += [*_profile_items(profile), ""]
    lines += ["| ratio | result | policy | iteration |", "|---|---|---|---|"]
    for attempt in tried:
        cells = (attempt.ratio, attempt.outcome, attempt.candidate.policy, str(attempt.candidate.iteration))
        lines += [f"| {' | '.join(cells)} |"]
    lines += [""]
    for attempt in tried:
        lines += wrapped(_reasons(attempt), first="- ", rest="  ")
    for attempt in tried:
        if attempt.rejection is not None:
            lines += ["", f"## Rejected: {attempt.candidate.id}", "", *wrapped(attempt.rejection.reason), ""]
            shown = "\n".join(attempt.rejection.witness) or attempt.rejection.evidence
            lines += folded(shown, indent="    ")
    sure = [part for line in certainty(best, tried, paid) for part in wrapped(line, first="- ", rest="  ")]
    return (
        "\n".join([*lines, "", *sure, "", *_ending(best, token, seconds, warning, for_markdown(refusal), stopped)])
        + "\n"
    )


def _reasons(attempt: Tried) -> str:
    candidate = attempt.candidate
    why = f"; {attempt.why}" if attempt.why else ""
    return (
        f"{candidate.id}: {attempt.outcome}{why}. Tried {knob_text(candidate.knob_values)}, because: {candidate.reason}"
    )


def _profile_items(profile: WorkloadProfile) -> list[str]:
    items = (wrapped(f"{name}: {text}", first="- ", rest="  ") for name, text in profile_lines(profile))
    return [line for item in items for line in item]


def profile_page(profile: WorkloadProfile) -> str:
    """The workload profile as Markdown: five lines, and every command in a table."""
    profile = shown(profile, for_markdown)
    lines = [
        f"# {profile.workload}", "", *_profile_items(profile), "", *wrapped(f"Goal: {profile.goal}"), "",
        "| command | tasks | CPU ms | most of one task | waiting ms | wake-ups | burst us p50/p99 | wait us p50/p99 |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {name_shown(c.comm)} | {c.tasks} | {c.cpu_ms:.1f} | {c.cpu_ms_max_task:.1f} | {c.wait_ms:.1f} "
        f"| {c.wakeups} | {c.burst_us_p50:.0f} / {c.burst_us_p99:.0f} | {c.wait_us_p50:.0f} / {c.wait_us_p99:.0f} |"
        for c in profile.commands
    ]
    return "\n".join(lines) + "\n"


def _remarked(profile: WorkloadProfile) -> list[str]:
    """What is to be known before any ratio is read."""
    said = [wrapped(f"{remark[:1].upper()}{remark[1:]}.") for remark in remarks(profile)]
    return [line for lines in said for line in [*lines, ""]]


def _ending(
    best: Score | None, token: str | None, seconds: dict[str, float], warning: str, refusal: str, stopped: Stop
) -> list[str]:
    why = wrapped(f"It ended there because {WORDS[stopped]}.") if stopped else []
    spent = f"Time: {seconds['total']:.0f} s in all, {seconds['vm']:.0f} s of it in guests."
    kernel = f" Kernel {best.kernel}." if best is not None and best.kernel else ""
    warned = ["", *wrapped(f"Warning: {warning}.")] if warning else []
    claim = wrapped(claim_of(best))
    return [*why, *wrapped(_token_line(best, token, refusal)), "", *wrapped(spent + kernel), *warned, "", *claim]


def _token_line(best: Score | None, token: str | None, refusal: str) -> str:
    if token:
        return f"Token: {token}"
    if refusal:
        return f"Token: none: {refusal}."
    if best is not None and best.outcome == "win":
        return "Token: none: the best was not promoted (the lines of `learn` say why)."
    return "Token: none, as nothing won."
